"""Corpora in formats that only ffmpeg reads are looked at and listened to as others are."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from vibesweep.corpus.preprocess.facts import corpus_facts
from vibesweep.quality.passages import choose_passages

RATE_HZ = 24_000
SECONDS = 2.0
M4A = b"\0\0\0\x1cftypM4A \0\0\x02\0M4A isomiso2" + bytes(4_000)


@pytest.fixture
def ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a program in ffmpeg's place that decodes every file to the same sound."""
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.1, round(SECONDS * RATE_HZ))
    decoded = tmp_path / "sound.wav"
    soundfile.write(decoded, sound, RATE_HZ)
    folder = tmp_path / "programs"
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(f'#!/bin/sh\nfor last; do :; done\ncp "{decoded}" "$last"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "talks"
    folder.mkdir()
    lines = ["id|audio|text|speaker"]
    for number in range(4):
        (folder / f"{number}.m4a").write_bytes(M4A)
        lines.append(f"t{number}|{number}.m4a|Number {number} is a word.|Ann")
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


@pytest.mark.usefixtures("ffmpeg")
def test_its_hours_are_known(corpus: Path) -> None:
    assert corpus_facts(corpus, "en-us").hours == pytest.approx(4 * SECONDS / 3_600)


@pytest.mark.usefixtures("ffmpeg")
def test_its_recordings_can_be_compared_with(corpus: Path) -> None:
    passages = choose_passages(corpus, "en-us", 2).passages
    assert [passage.recording.seconds for passage in passages] == pytest.approx([SECONDS, SECONDS])

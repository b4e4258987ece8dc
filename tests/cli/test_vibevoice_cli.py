"""The verbs after a VibeVoice sweep as a user types them: export, convert, synthesize."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.cli.command import Vibesweep, vibesweep
from tests.cli.test_cli import loudness
from tests.trained_trial import LORA, leave_trial
from tests.unit.test_delivery import write_sweep
from vibesweep.config import TrialSettings


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a sweep of one trial in ``sweep``, and a recording."""
    folder = tmp_path_factory.mktemp("staged")
    leave_trial(folder, LORA, tied=False)
    soundfile.write(folder / "ann.wav", np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
    return folder


def test_exported_converted_and_spoken(staged: Path, in_process: Vibesweep) -> None:
    for layout in ("merged", "peft", "lora", "comfyui", "original"):
        options = ("--out", layout, "--layout", layout)
        typed = vibesweep if layout == "merged" else in_process
        said = typed("export", "sweep", *options, cwd=staged)
        assert f"exported to {layout}" in said
        assert re.search(r"changes the\s+speech: \d+ %", said)
    assert "converted to again" in in_process("convert", "original", "again", cwd=staged)
    (staged / "script.txt").write_text("Speaker 1: Hello.\nSpeaker 2: Good morning.\n")
    script = ["--script", "script.txt", "--voice", "ann.wav"]
    settings = ["--cfg-scale", "1.4", "--steps", "2", "--seed", "3"]
    for model in ("merged", "again"):
        command = ["synthesize", model, *script, *settings, "--out", f"{model}.wav"]
        printed = in_process(*command, cwd=staged)
        assert "(SPEAKER_1 as ann.wav)" in printed
    assert (staged / "merged.wav").read_bytes() == (staged / "again.wav").read_bytes()
    assert loudness(staged / "merged.wav")[0] > 0


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (
            ("export", "sweep", "--out", "x", "--layout", "gguf"),
            "Choose one of merged, peft, lora, comfyui, original",
        ),
        (
            ("synthesize", "base", "--script", "nowhere.txt", "--out", "x.wav"),
            "the script cannot be read",
        ),
        (
            ("synthesize", "base", "--text", "Hi.", "--voice", "Bo", "--out", "x.wav"),
            "Name a recording",
        ),
    ],
)
def test_mistakes_are_one_line(
    staged: Path, in_process: Vibesweep, arguments: tuple[str, ...], found: str
) -> None:
    said = in_process(*arguments, cwd=staged, rc=2)
    assert found in said
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1
    assert not (staged / "x").exists()


@pytest.mark.parametrize("options", [(), ("--text", "Hi.", "--script", "script.txt")])
def test_the_text_is_given_by_exactly_one_option(
    staged: Path, in_process: Vibesweep, options: tuple[str, ...]
) -> None:
    command = ("synthesize", "base", *options, "--out", "x.wav")
    assert "Give one of them" in in_process(*command, cwd=staged, rc=2)


def test_a_mel_sweep_has_no_layouts(tmp_path: Path, in_process: Vibesweep) -> None:
    write_sweep(tmp_path, TrialSettings(batch_clips=4))
    command = ("export", "sweep", "--out", "x", "--layout", "merged")
    assert "leave --layout out" in in_process(*command, cwd=tmp_path, rc=2)

"""What a sweep says of its voices by ear, on a tiny model and a sweep written by hand: no ray."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from tests.unit.test_delivery import write_sweep
from vibesweep.config import TrialSettings
from vibesweep.corpus.demo.voices import BASE_VOICES, ESPEAK_RATE_HZ, speak
from vibesweep.corpus.recordings import Turn
from vibesweep.delivery import judge as judge_module
from vibesweep.delivery.best import deliver_best
from vibesweep.delivery.judge import judge
from vibesweep.errors import CorpusError
from vibesweep.models.mel import speech
from vibesweep.quality.passages import Passages
from vibesweep.quality.quality_file import read_quality
from vibesweep.quality.scorer import Passage, Sound
from vibesweep.sweep.record import SweepFolder

TEXT = "A bad cab faced a bee."
SETTINGS = TrialSettings(method="lora", learning_rate=1e-2, lora_rank=4, batch_clips=4)


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SweepFolder:
    """Make a sweep whose trial was never taught to stop, and deliver it."""
    never = (1.1,)  # a probability of "stop" that is not reached
    monkeypatch.setattr(inspect.unwrap(speech.sample_latents), "__defaults__", never)
    monkeypatch.setattr("vibesweep.models.mel.reading.MOST_LEFT_OUT", 1.0)
    monkeypatch.setattr("vibesweep.delivery.best.show_sample", lambda *_: None)
    monkeypatch.setattr("vibesweep.quality.scorers.OF_PACKAGES", ())
    made = write_sweep(tmp_path, SETTINGS)
    deliver_best(made)
    return made


@pytest.fixture
def one_passage(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = speak(TEXT, BASE_VOICES[0]).astype(np.float32) / np.float32(32_768)
    recording = Sound(samples, ESPEAK_RATE_HZ)
    passage = Passage("t0", (Turn("SPEAKER_A", TEXT),), {"SPEAKER_A": "p0"}, "en", recording, {})
    chosen = Passages((passage,), (TEXT,))
    monkeypatch.setattr(judge_module, "choose_passages", lambda *_: chosen)


@pytest.mark.usefixtures("one_passage")
def test_a_voice_that_does_not_stop_is_not_called_the_best(sweep: SweepFolder) -> None:
    judged = judge(sweep)
    assert not judged.speaks
    assert judged.quality.verdict.startswith("no trial speaks yet, at the smallest loss of ")
    assert "does not stop when all is said (1 of 1 ran on to the limit" in judged.quality.verdict
    assert read_quality(sweep.place / "quality.json") == judged.quality
    recording, base, trial = judged.quality.rows
    assert (recording.name, base.name, trial.name) == ("recording", "base", "trial 0")
    for row in judged.quality.rows:
        assert all((sweep.place / file).is_file() for file in row.audio)


def test_the_samples_text_and_the_bases_sample_lie_beside_it(sweep: SweepFolder) -> None:
    names = {Path(file.name).name for file in sweep.best.files()}
    assert {"sample.wav", "sample.txt", "base_sample.wav"} <= names
    assert b"[SPEAKER_A] words" in (sweep.best / "sample.txt").read_bytes()


def test_without_recordings_nothing_is_judged(sweep: SweepFolder) -> None:
    with pytest.raises(CorpusError, match="none of 0 held-out recordings"):
        judge(sweep)
    assert not (sweep.place / "quality.json").is_file()

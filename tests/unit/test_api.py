"""The Python API: results as pandas frames, trials that are exported, voices that speak."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pandas as pd
import pytest

from tests.unit.test_delivery import write_sweep
from vibesweep import Results, Sweep, TrialSettings
from vibesweep.config import Sweep as PlannedSweep
from vibesweep.errors import SpeechError, SweepError
from vibesweep.sweep.record.show import trials_csv
from vibesweep.sweep.search.space_file import load_space


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Read a sweep that trained one trial of a tiny base."""
    settings = TrialSettings(method="full", batch_clips=4, learning_rate=1e-3)
    folder = write_sweep(tmp_path_factory.mktemp("api"), settings)
    return Sweep.load(str(folder.place))


def test_trials_are_a_frame_with_what_show_prints(results: Results) -> None:
    printed = pd.read_csv(io.StringIO(trials_csv(results.record)))
    frame = results.trials
    assert list(frame.columns) == list(printed.columns)
    assert frame["best_loss_val"].tolist() == printed["best_loss_val"].tolist()
    assert str(results).startswith("sweep: ")


def test_a_trial_is_exported_and_speaks(results: Results, tmp_path: Path) -> None:
    best = results.best
    assert best.settings.learning_rate == 1e-3
    assert best.loss == results.record.trials[0].best_loss_val
    voice = best.export(tmp_path / "voice")
    assert (tmp_path / "voice" / "provenance.json").is_file()
    with pytest.raises(SpeechError, match="the text is empty"):
        voice.synthesize(" ", tmp_path / "x.wav")
    assert results.trial(best.number) == best


def test_what_is_not_there_is_named(results: Results, tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="no sweep here"):
        Sweep.load("nothing", work=tmp_path)
    with pytest.raises(SweepError, match="no checkpoint of a trial 7"):
        results.trial(7)


def test_a_sweep_that_runs_is_one_that_a_space_file_defines(tmp_path: Path) -> None:
    file = tmp_path / "space.py"
    file.write_text("from vibesweep import Sweep\nsweep = Sweep(space={})\n")
    sweep = dataclasses.replace(load_space(file), trials=3)
    assert isinstance(sweep, Sweep)
    assert isinstance(sweep, PlannedSweep)

"""The Python API: results as pandas frames, trials that are exported, voices that speak."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.unit.test_delivery import write_sweep
from vibesweep import Budget, Results, Sweep, TrialSettings
from vibesweep.config import Sweep as PlannedSweep
from vibesweep.errors import SpaceError, SpeechError, SweepError
from vibesweep.sweep import clone_inside, run
from vibesweep.sweep.record import SweepFolder
from vibesweep.sweep.record.show import trials_csv
from vibesweep.sweep.search.space_file import load_space


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Read a sweep that trained one trial of a tiny base."""
    settings = TrialSettings(method="full", batch_clips=4, learning_rate=1e-3)
    folder = write_sweep(tmp_path_factory.mktemp("api"), settings)
    record = folder.read()
    record.sweep["budget"] = dataclasses.asdict(Budget(8, 2, 2))
    folder.write(record)
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


def test_a_trial_is_cloned_as_a_sweep_of_its_own(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}

    def run_sweep(sweep: Sweep, name: str, **how: Any) -> SweepFolder:
        space_file = load_space(how["space_file"])
        assert space_file.settings == sweep.settings
        asked.update(how, name=name, settings=sweep.settings, starts_from=sweep.starts_from)
        return SweepFolder(how["work"] / "sweeps" / name)

    monkeypatch.setattr(run, "run_sweep", run_sweep)
    best = results.best
    clone = results.clone(best.number, {"learning_rate": 1e-4}, max_steps=16)
    assert asked["name"] == "sweep_trial_0"
    assert asked["settings"] == dataclasses.replace(best.settings, learning_rate=1e-4)
    assert asked["starts_from"] == str(results.folder.checkpoints / "t0")
    assert clone.folder.place.name == "sweep_trial_0"
    assert str(clone.folder.place.parent.parent) == str(results.folder.place.parent.parent)
    results.clone(best.number, {}, name="mine")
    assert asked["name"] == "mine"
    with pytest.raises(SpaceError, match="no_such"):
        results.clone(best.number, {"no_such": 1})


def test_a_clone_joins_its_sweep_where_that_runs(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, Any]]] = []

    def join(folder: SweepFolder, named: str, changes: dict[str, Any]) -> None:
        assert folder is results.folder
        asked.append((named, changes))

    monkeypatch.setattr(clone_inside, "clone_inside", join)
    with results.folder.ownership.held():
        assert results.clone(0, {"seed": 1}) is results
    assert asked == [("0", {"seed": 1})]


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

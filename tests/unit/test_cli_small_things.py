"""What a newcomer stumbles on: misspelt names, exports that are there, where errors come from."""

from __future__ import annotations

import csv
import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from vibesweep import __version__
from vibesweep.cli import app, main
from vibesweep.config import Sweep, TrialSettings
from vibesweep.delivery.export import PROVENANCE, refuse_exported
from vibesweep.delivery.synthesize import model_named
from vibesweep.errors import ModelError, SpaceError, SweepError
from vibesweep.sweep.record import (
    SweepFolder,
    SweepRecord,
    TrialRecord,
    TrialState,
    sweep_as_json,
)
from vibesweep.sweep.search.space import settings_with


@pytest.fixture
def sweep(tmp_path: Path) -> SweepFolder:
    """Write a sweep of two trials, named mine, in the folder of sweeps."""
    trials = [
        TrialRecord("a", 0, {"learning_rate": 1e-3}, {}, TrialState.PRUNED, best_loss_val=0.5),
        TrialRecord("b", 1, {"learning_rate": 0.1 + 0.2, "method": "full"}, {}, reason="a, b"),
    ]
    trials[1] = replace(trials[1], state=TrialState.COMPLETE, best_loss_val=0.25, best_step=9)
    settings = sweep_as_json(Sweep(space={}, trials=2))
    folder = SweepFolder(tmp_path / "sweeps" / "mine")
    folder.write(SweepRecord("mine", "mel-small", "/shards", "", settings, 1, {}, trials=trials))
    return folder


def said(*words: str | Path) -> str:
    """Type a command that ends well, and return what it printed."""
    result = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_misspelt_setting_is_answered_by_the_one_that_is_meant() -> None:
    with pytest.raises(SpaceError, match=r"suggests learning_rat.*Perhaps learning_rate is meant"):
        settings_with(TrialSettings(), {"learning_rat": 1e-3})
    with pytest.raises(SpaceError) as refused:
        settings_with(TrialSettings(), {"qqqq": 1})
    assert "Known are" in str(refused.value)


def test_the_version_is_told() -> None:
    assert said("--version") == f"vibesweep {__version__}\n"


def test_show_prints_csv_with_every_digit(sweep: SweepFolder, tmp_path: Path) -> None:
    printed = said("show", "mine", "--csv", "--work", tmp_path)
    best, other = csv.DictReader(io.StringIO(printed))
    assert (best["number"], best["state"], best["reason"]) == ("1", "complete", "a, b")
    assert float(best["learning_rate"]) == 0.1 + 0.2
    assert float(best["best_loss_val"]) == 0.25
    assert (other["method"], other["state"]) == ("", "pruned")


def test_show_names_the_next_verb(sweep: SweepFolder, tmp_path: Path) -> None:
    printed = said("show", "mine", "--work", tmp_path)
    assert f"next:       vibesweep export mine --work {tmp_path} --out FOLDER" in printed


def test_list_names_the_newest_sweep(sweep: SweepFolder, tmp_path: Path) -> None:
    printed = said("list", "--work", tmp_path)
    assert f"next:       vibesweep show mine --work {tmp_path}" in printed
    assert "next:" not in said("list", "--work", tmp_path / "elsewhere")


def test_an_export_is_replaced_only_where_force_says_so(tmp_path: Path) -> None:
    refuse_exported(tmp_path)
    (tmp_path / PROVENANCE).write_text("{}")
    with pytest.raises(ModelError, match="--force replaces it"):
        refuse_exported(tmp_path)


def test_a_sweeps_name_stands_for_its_best_model(sweep: SweepFolder, tmp_path: Path) -> None:
    assert model_named("mine", str(tmp_path)) == str(sweep.best)
    assert model_named(str(sweep.place), "elsewhere") == str(sweep.best)
    assert model_named("mel-small", str(tmp_path)) == "mel-small"
    assert model_named("vibevoice:owner/name", str(tmp_path)) == "vibevoice:owner/name"


def test_debug_gives_the_traceback_of_a_users_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["vibesweep", "show", "nothing"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no sweep here" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["vibesweep", "--debug", "show", "nothing"])
    with pytest.raises(SweepError):
        main()

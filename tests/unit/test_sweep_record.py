"""A sweep's record on disk and on the terminal: no ray cluster."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, fields, replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import FloatDistribution
from rich.console import Console

from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.errors import SweepError
from vibesweep.sweep.record import (
    SweepFolder,
    SweepRecord,
    SweepState,
    TrialRecord,
    TrialState,
    find_sweep,
    list_sweeps,
    sweep_as_json,
)
from vibesweep.sweep.record.arrival import arrival_line
from vibesweep.sweep.record.overfitting import overfitting_line
from vibesweep.sweep.record.progress import Progress
from vibesweep.sweep.record.show import sweep_table, sweeps_table
from vibesweep.sweep.record.table import (
    format_seconds,
    line_of,
    ranked,
    summary_of,
)
from vibesweep.sweep.record.trials_table import TrialsTable

SWEEP = Sweep(
    {"learning_rate": FloatDistribution(1e-5, 1e-2)},
    budget=Budget(8, 2),
    trials=4,
    try_first=({"learning_rate": 1e-3},),
)


def trial(number: int, state: TrialState, best: float | None, **more: Any) -> TrialRecord:
    swept = {"learning_rate": 1e-4 * (number + 1)}
    return TrialRecord(f"id{number}", number, swept, {}, state, best_loss_val=best, **more)


@pytest.fixture
def record() -> SweepRecord:
    """One of each: the smallest loss belongs to the diverged trial, the next to the pruned one."""
    trials = [
        trial(
            0,
            TrialState.COMPLETE,
            0.5,
            loss_val=0.5,
            best_step=90,
            step=90,
            rung=2,
            steps_per_s=3.0,
        ),
        trial(1, TrialState.DIVERGED, 0.1, reason="the loss was nan"),
        trial(2, TrialState.PRUNED, 0.4, step=30, rung=2),
        trial(3, TrialState.RUNNING, None),
    ]
    return SweepRecord(
        "mine",
        "mel-small",
        "/shards",
        "abc",
        sweep_as_json(SWEEP),
        1,
        {"ray": "2"},
        base_loss_val=0.7,
        trials=trials,
    )


def test_the_record_reads_back(record: SweepRecord, tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    folder.write(record)
    assert folder.read() == record
    assert [path.name for path in tmp_path.iterdir()] == ["sweep.json"]
    assert (
        json.loads(folder.record.read_bytes())["sweep"]["budget"]["max_steps"]
        == SWEEP.budget.last_step
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no sweep here"),
        ("{", "cannot be read"),
        ("{}", "cannot be read"),
        ('{"schema_version": 99}', "schema version 99, not 1"),
        ('{"schema_version": 1, "trials": []}', "cannot be read"),
    ],
)
def test_a_record_that_cannot_be_read_is_a_users_case(
    tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "sweep.json").write_text(text)
    with pytest.raises(SweepError, match=message):
        SweepFolder(tmp_path).read()


def test_the_best_checkpoint_was_written_before_its_trial_diverged(
    record: SweepRecord, tmp_path: Path
) -> None:
    SweepFolder(tmp_path).write(record)
    _, best, checkpoint = SweepFolder(tmp_path).best_checkpoint()
    assert best.number == 1
    assert checkpoint.local == tmp_path / "checkpoints" / "id1"


def test_another_trials_checkpoint_may_be_asked_for(record: SweepRecord, tmp_path: Path) -> None:
    SweepFolder(tmp_path).write(record)
    assert SweepFolder(tmp_path).best_checkpoint(2)[1].number == 2
    for number in (3, 9):  # without a loss, and none at all
        with pytest.raises(SweepError, match=r"of a trial \d\. Choose among 0, 1, 2"):
            SweepFolder(tmp_path).best_checkpoint(number)


def test_a_trial_that_was_chosen_by_ear_is_the_best(record: SweepRecord) -> None:
    record.chosen = 2
    assert record.best is record.trials[2]
    assert [trial.number for trial in ranked(record)] == [2, 1, 0, 3]
    assert "best 0.4000 (trial 2, chosen by ear)" in summary_of(record, now_unix_s=0.0)


def test_no_checkpoint_yet(record: SweepRecord, tmp_path: Path) -> None:
    record.trials = record.trials[3:]
    SweepFolder(tmp_path).write(record)
    with pytest.raises(SweepError, match="Let it go on"):
        SweepFolder(tmp_path).best_checkpoint()


def test_sweeps_are_found_by_name_and_by_folder(record: SweepRecord, tmp_path: Path) -> None:
    for number, name in enumerate(("late", "early")):
        SweepFolder(tmp_path / "sweeps" / name).write(
            replace(record, name=name, started_unix_s=10.0 - number)
        )
    assert [found.name for found in list_sweeps(tmp_path).records] == ["early", "late"]
    assert find_sweep("late", tmp_path).read().name == "late"
    assert find_sweep(str(tmp_path / "sweeps" / "early"), Path("elsewhere")).read().name == "early"


def _broken(record: SweepRecord, **changes: Any) -> bytes:
    """Write a record as JSON with some of its values changed."""
    facts = json.loads(json.dumps(asdict(record)))
    return json.dumps({**facts, **changes}).encode()


def test_sweeps_that_cannot_be_read_hide_no_other(record: SweepRecord, tmp_path: Path) -> None:
    trials = json.loads(json.dumps(asdict(record)))["trials"]
    broken = {
        "cut": _broken(record)[:200],
        "empty": b"",
        "binary": b"\xff\xfe\x00",
        "list": b"[]",
        "no-date": _broken(record, started_unix_s=None),
        "no-sweep": _broken(record, sweep={}),
        "no-trials": _broken(record, trials=None),
        "word-for-loss": _broken(record, trials=[{**trials[0], "best_loss_val": "low"}]),
        "new": _broken(record, schema_version=99),
    }
    for name, content in broken.items():
        folder = tmp_path / "sweeps" / name
        folder.mkdir(parents=True)
        (folder / "sweep.json").write_bytes(content)
    half_event = b'{"version": 1, "event": "sweep_started", "record": {"name": 3}}\n'
    (tmp_path / "sweeps" / "running").mkdir()
    (tmp_path / "sweeps" / "running" / "events.jsonl").write_bytes(half_event)
    SweepFolder(tmp_path / "sweeps" / "sound").write(replace(record, name="sound"))
    console = Console(record=True, width=300, file=StringIO())
    console.print(sweeps_table(list_sweeps(tmp_path), tmp_path))
    text = console.export_text()
    sound = next(line for line in text.splitlines() if " sound " in line)
    assert "0.1000" in sound
    for name in [*broken, "running"]:
        assert f" {name} " in text
        assert f"sweeps/{name}/" in text
    assert text.count("unreadable") == len(broken) + 1


def test_a_sweep_as_json_holds_all_but_its_space() -> None:
    told = sweep_as_json(SWEEP)
    assert set(told) == {field.name for field in fields(Sweep)} - {"space"}
    assert json.loads(json.dumps(told))["try_first"] == [{"learning_rate": 1e-3}]
    assert TrialSettings(**told["settings"]) == SWEEP.settings


def test_a_line_tells_of_a_trial(record: SweepRecord) -> None:
    assert (
        line_of(record.trials[0])
        == "trial   0 complete rung 2 step   90 loss 0.5000 3.0 steps/s learning_rate=0.0001"
    )
    assert "3.0 steps/s trains 0.15 M learning" in line_of(
        replace(record.trials[0], trained_parameters=147_456)
    )
    assert line_of(record.trials[1]).endswith("learning_rate=0.0002 (the loss was nan)")
    assert "loss - " in line_of(record.trials[3])


def _falling_then_rising(number: int = 0, state: TrialState = TrialState.COMPLETE) -> TrialRecord:
    return trial(number, state, 0.1985, best_step=24, loss_val=0.223, step=54)


def test_progress_shows_the_loss_of_now_and_the_best_beside_it(record: SweepRecord) -> None:
    rising = _falling_then_rising()
    assert "step   54 loss 0.2230 (best 0.1985 at step 24)" in line_of(rising)
    console = Console(record=True, width=120, file=StringIO())
    console.print(TrialsTable(replace(record, trials=[rising])))
    text = console.export_text()
    assert "0.2230" in text
    assert "0.1985 @24" in text


def test_the_summary_tells_when_the_best_trials_got_worse(record: SweepRecord) -> None:
    rising = [_falling_then_rising(number) for number in range(2)]
    steady = trial(2, TrialState.COMPLETE, 0.3, best_step=48, loss_val=0.303, step=54)
    told = overfitting_line(replace(record, trials=[*rising, steady]))
    assert "2 of the best 3 trials got worse" in told
    assert "trial 0: 0.1985 at step 24, 0.2230 at step 54" in told
    console = Console(record=True, width=400, file=StringIO())
    console.print(sweep_table(replace(record, trials=rising)))
    assert "over-fitting" in console.export_text()


def test_losses_that_waver_and_trials_that_go_on_are_no_overfitting(record: SweepRecord) -> None:
    wavering = trial(0, TrialState.COMPLETE, 0.3, best_step=48, loss_val=0.303, step=54)
    running = _falling_then_rising(1, TrialState.RUNNING)
    diverged = _falling_then_rising(2, TrialState.DIVERGED)
    worse = trial(3, TrialState.PRUNED, 0.9, best_step=6, loss_val=1.2, step=18)
    for trials in ([], [wavering], [running], [diverged], [wavering, worse]):
        assert overfitting_line(replace(record, trials=trials)) == ""


def test_the_summary_tells_when_the_order_of_arrival_may_have_decided(record: SweepRecord) -> None:
    first = trial(0, TrialState.COMPLETE, 0.200)
    second = trial(1, TrialState.COMPLETE, 0.204)
    stopped = trial(2, TrialState.PRUNED, 0.9)
    close = replace(record, lanes=2, trials=[second, stopped, first])
    assert arrival_line(close).startswith(
        "the best two are 2.0% apart (trials 0 and 1: 0.2000 and "
    )
    far = trial(1, TrialState.COMPLETE, 0.3)
    assert arrival_line(replace(close, trials=[first, far, stopped])) == ""
    assert arrival_line(replace(close, trials=[first, second])) == "", "none was stopped"
    assert arrival_line(replace(close, lanes=1)) == "", "one lane does the same each time"
    assert arrival_line(replace(close, trials=[first])) == ""
    by_ear = replace(close, sweep={**close.sweep, "objective": "mcd_db"})
    assert arrival_line(by_ear) == "", "losses did not rank them"


def test_the_table_shows_the_best_first(record: SweepRecord) -> None:
    console = Console(record=True, width=120, file=StringIO())
    console.print(TrialsTable(record))
    text = console.export_text()
    assert "sweep mine" in text
    assert "learning_rate" in text
    firsts = [line.strip(" │").split()[0] for line in text.splitlines() if line.strip(" │")]
    assert [first for first in firsts if first.isdecimal()] == ["1", "2", "0", "3"]


def wide_record(record: SweepRecord) -> SweepRecord:
    """Sweep nine settings over thirty trials, one of them alike for all."""
    trials = []
    for number in range(30):
        swept = {
            "learning_rate": 1.234e-4 * (number + 1),
            "optimizer": ("adamw", "schedulefree_adamw")[number % 2],
            "lora_rank": 2 ** (number % 6),
            "lora_targets": ("attention", "attention+mlp")[number % 2],
            "ema_decay": 0.99 + number / 1e4,
            "warmup_fraction": number / 100,
            "batch_clips": 4 + number,
            "schedule": "cosine",
            "diffusion_weight": 1.0 + number / 7,
        }
        made = trial(number, TrialState.COMPLETE, 0.2 + number / 100, best_step=1_000, step=9_000)
        trials.append(replace(made, swept=swept, trained_parameters=1_000_000 + number))
    return replace(record, trials=trials)


@pytest.mark.parametrize("width", [60, 80, 400])
def test_the_table_cuts_no_value_however_narrow_the_terminal(
    record: SweepRecord, width: int
) -> None:
    wide = wide_record(record)
    console = Console(record=True, width=width, file=StringIO())
    console.print(TrialsTable(wide))
    text = console.export_text()
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    shown = set(text.split())
    for each in wide.trials[:24]:
        assert f"{each.swept['learning_rate']:.3g}" in shown
        assert f"{each.best_loss_val:.4f}" in shown
    assert {*wide.trials[0].swept} - {"schedule"} <= shown
    assert "all trials: schedule=cosine" in text
    # The widest terminal has a row for each trial, the others a column
    has_rows = any(
        "learning_rate optimizer" in " ".join(line.split()) for line in text.splitlines()
    )
    assert has_rows is (width == 400)


def test_three_settings_fit_a_usual_terminal_in_rows(record: SweepRecord) -> None:
    """The shipped search of the README."""
    trials = []
    for each in record.trials:
        optimizer = "adamw" if each.number else "lion"
        swept = {"learning_rate": 9.12e-4 * (each.number + 1), "optimizer": optimizer}
        made = replace(each, swept=swept | {"lora_rank": 4 + each.number}, best_step=54)
        trials.append(replace(made, trained_parameters=147_456 + each.number))
    console = Console(record=True, width=80, file=StringIO())
    console.print(TrialsTable(replace(record, trials=trials)))
    lines = console.export_text().splitlines()
    (heading,) = (line.split() for line in lines if "lora_rank" in line)
    assert {"learning_rate", "optimizer", "lora_rank", "step", "loss", "best"} <= set(heading)
    assert "rung" not in heading
    assert "0.000912" in " ".join(lines)


def test_the_summary_tells_what_is_left(record: SweepRecord) -> None:
    told = summary_of(replace(record, sweep={**record.sweep, "trials": 8}), now_unix_s=600.0)
    assert told.startswith("3 of 8 ended, 1 running on 1 lane, 4 waiting")
    assert "best 0.1000 (trial 1, diverged)" in told
    assert "untouched base 0.7000" in told
    assert "about 17 min left" in told
    assert "left" not in summary_of(replace(record, state=SweepState.DONE), now_unix_s=600.0)
    # It may have lain idle for days in between
    assert "left" not in summary_of(replace(record, resumed=True), now_unix_s=600.0)


def test_without_a_terminal_each_change_is_one_line(record: SweepRecord) -> None:
    file = StringIO()
    progress = Progress(Console(file=file, width=120))
    with progress.shown():
        progress.show(record)
        progress.show(record)
        record.trials[3].step = 10
        progress.show(record)
    assert [int(line.split()[1]) for line in file.getvalue().splitlines()] == [0, 1, 2, 3, 3]


def test_on_a_terminal_the_table_is_live(record: SweepRecord) -> None:
    file = StringIO()
    progress = Progress(Console(file=file, width=120, force_terminal=True))
    with progress.shown():
        progress.show(record)
    assert "sweep mine" in file.getvalue()


@pytest.mark.parametrize(("seconds", "text"), [(5.0, "5 s"), (120.0, "2 min"), (7_200.0, "2.0 h")])
def test_times_are_short(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text


def test_a_loss_that_is_not_finite_never_reaches_the_record(
    record: SweepRecord, tmp_path: Path
) -> None:
    record.trials[0].loss_val = math.nan
    with pytest.raises(ValueError, match="JSON"):
        SweepFolder(tmp_path).write(record)


def test_states_are_written_as_words(record: SweepRecord, tmp_path: Path) -> None:
    folder = SweepFolder(tmp_path)
    folder.write(record)
    written = json.loads(folder.record.read_bytes())
    assert written["state"] == "running"
    states = [one["state"] for one in written["trials"]]
    assert states == ["complete", "diverged", "pruned", "running"]
    assert set(TrialState) - {one.state for one in record.trials} == {
        TrialState.WAITING,
        TrialState.FAILED,
        TrialState.STOPPED,
    }


@pytest.mark.parametrize("state", ["waitin", "done"])
def test_a_state_that_is_none_cannot_be_read(
    record: SweepRecord, tmp_path: Path, state: str
) -> None:
    folder = SweepFolder(tmp_path)
    folder.write(record)
    text = folder.record.read_bytes().decode().replace('"complete"', f'"{state}"')
    folder.record.write_bytes(text.encode())
    with pytest.raises(SweepError, match="cannot be read"):
        folder.read()


def test_a_loss_of_nothing_is_the_best(record: SweepRecord) -> None:
    record.trials[0].best_loss_val = 0.0
    assert record.best is record.trials[0]


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.DIVERGED, TrialState.STOPPED])
def test_the_best_checkpoint_counts_however_its_trial_ended(
    record: SweepRecord, state: TrialState
) -> None:
    first, second = record.trials[:2]
    first.best_loss_val, first.state = 0.1, state
    second.best_loss_val, second.state = 0.3, TrialState.COMPLETE
    assert record.best is first


@pytest.mark.parametrize(("base", "wins"), [(0.05, True), (0.1, True), (0.7, False), (None, False)])
def test_the_untouched_base_is_a_row_and_can_win(
    record: SweepRecord, base: float | None, wins: bool
) -> None:
    record.base_loss_val = base
    assert record.base_wins is wins
    told = summary_of(record, now_unix_s=0.0)
    assert ("which no trial beats" in told) is wins
    first = next(iter(TrialsTable(record).rows))
    assert (first.cells["trial"] == "base") is (base is not None)


def test_a_note_is_told_once_and_stands_beneath_the_table(record: SweepRecord) -> None:
    plain = StringIO()
    progress = Progress(Console(file=plain, width=200))
    for line in ("1 of 2 lanes is up", "1 of 2 lanes is up", ""):
        progress.note(line)
    assert plain.getvalue() == "1 of 2 lanes is up\n"
    live = StringIO()
    progress = Progress(Console(file=live, width=200, force_terminal=True))
    with progress.shown():
        progress.show(record)
        progress.note("1 of 2 lanes is up")
        assert live.getvalue().count("1 of 2 lanes is up") == 1
        progress.note("")
        progress.show(record)
    assert live.getvalue().count("1 of 2 lanes is up") == 1

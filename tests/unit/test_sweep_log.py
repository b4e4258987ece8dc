"""The log of a sweep's events: what it costs, how it is read as it grows, what it becomes."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest
from optuna.distributions import FloatDistribution
from rich.console import Console

from tests.reports import read_reports
from vibesweep.config import Budget, Report, StepRecord, Sweep, TrialSettings
from vibesweep.errors import SweepError
from vibesweep.sweep.record import (
    SweepFolder,
    SweepRecord,
    SweepState,
    TrialState,
    events,
    sweep_as_json,
)
from vibesweep.sweep.record.claim import claimed
from vibesweep.sweep.record.events import EVENT_VERSION, CloneAsked, TrialReported, events_in
from vibesweep.sweep.record.log import ACTOR_LOST, BY_HAND, SweepLog
from vibesweep.sweep.record.show import sweep_table, trials_csv
from vibesweep.sweep.record.staged_folder import staged_folder_for
from vibesweep.sweep.record.states import end_state, outcome_of
from vibesweep.sweep.record.table import line_of, summary_of

SWEEP = Sweep({"learning_rate": FloatDistribution(1e-5, 1e-2)}, budget=Budget(8, 2, 2), trials=3)
COLUMNS = [
    "trial",
    "number",
    "step",
    "rung",
    "loss_val",
    "loss_train",
    "learning_rate_now",
    "grad_norm",
    "steps_per_s",
    "step_ms",
    "peak_memory_mb",
    "tokens",
    "row_tokens",
    "reported_unix_s",
    "lane",
    *TrialSettings.names(),
    "state",
]


def trial(number: int) -> Any:
    """Return a trial as Ray Tune would hand it over."""
    rate = 1e-3 * (number + 1)
    settings = dataclasses.asdict(TrialSettings(learning_rate=rate))
    config = {
        "id": f"id{number}",
        "number": number,
        "swept": {"learning_rate": rate},
        "settings": settings,
        "reported_step": None,
        "clone": {},
    }
    return SimpleNamespace(config=config)


def result(step: int, loss: float, outcome: str | None = None, **more: Any) -> dict[str, Any]:
    """Return the result of a trial's report, as Ray Tune would hand it over."""
    curve = (StepRecord(step, 1.5, 1e-3, 0.5),)
    report = Report(
        step,
        loss,
        1.5,
        3.0,
        curve,
        first_step_ago_s=100.0 + step,
        trained_parameters=7,
        best_loss_val=min(loss, 0.4),
        best_step=2,
        lane="lane-0",
        device="cpu",
    )
    known = {
        "loss_val": loss,
        "rung": 1,
        "report": dataclasses.asdict(report),
        "reason": "",
        "errors": "",
    }
    return {**known, "outcome": outcome, **more}


class FakeTune:
    """Ray Tune's part, played by the test."""

    def __init__(self, folder: Path, *, resume: bool = False) -> None:
        self.folder = SweepFolder(folder)
        self.released: list[str] = []
        self.seen: list[tuple[int, str]] = []
        self._running = ExitStack()
        self._running.enter_context(claimed(self.folder, None, resume=resume))
        staged = self._running.enter_context(
            staged_folder_for(self.folder, pytest.fail, resume=resume)
        )
        record = SweepRecord(
            "mine", "mel-small", "/shards", "abc", sweep_as_json(SWEEP), 1, {"ray": "2"}
        )
        former = staged.folder.replay() if resume else None
        self.log = SweepLog(staged, record, [self._watch], self.released.append, former)

    def _watch(self, record: SweepRecord) -> None:
        self.seen.append((len(record.trials), record.state))

    def start(self, number: int) -> None:
        self.log.on_trial_start(0, [], trial(number))

    def report(self, number: int, *values: Any, **more: Any) -> None:
        self.log.on_trial_result(0, [], trial(number), result(*values, **more))

    def complete(self, number: int) -> None:
        self.log.on_trial_complete(0, [], trial(number))

    def close(self, state: SweepState) -> None:
        self.log.close(state)
        self.die()

    def die(self) -> None:
        """Let go of what the operating system lets go of when a process ends."""
        self._running.close()


@pytest.fixture
def tune(tmp_path: Path) -> Iterator[FakeTune]:
    running = FakeTune(tmp_path / "mine")
    yield running
    running.die()


def one_of_each(tune: FakeTune) -> None:
    """Play a trial that completes, one that ASHA stops, and one that diverges."""
    tune.log.base_validated(0.7)
    for number in range(3):
        tune.start(number)
        tune.report(number, 2, 0.4)
    tune.report(0, 8, 0.5, TrialState.COMPLETE)
    tune.report(2, 4, math.inf, TrialState.DIVERGED, reason="the loss was nan")
    for number in range(3):
        tune.complete(number)


def test_the_record_of_a_running_sweep_is_read_from_its_log(
    tune: FakeTune, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000.0)
    one_of_each(tune)
    record = tune.folder.read()
    assert record == tune.log.record
    assert record.state == SweepState.RUNNING
    assert record.base_loss_val == 0.7
    states = [found.state for found in record.trials]
    assert states == [TrialState.COMPLETE, TrialState.PRUNED, TrialState.DIVERGED]
    assert [found.loss_val for found in record.trials] == [0.5, 0.4, None]
    assert [found.best_loss_val for found in record.trials] == [0.4, 0.4, 0.4]
    assert record.trials[2].reason == "the loss was nan"
    assert {(found.lane, found.device) for found in record.trials} == {("lane-0", "cpu")}
    assert [found.first_step_unix_s for found in record.trials] == [898.0] * 3, "by this clock"
    assert all(found.ended_unix_s is not None for found in record.trials)
    assert tune.released == ["id0", "id1", "id2"]
    assert not tune.folder.record.is_file()
    assert tune.folder.holds_sweep()


def test_the_table_of_a_running_sweep_is_read_from_its_log(tune: FakeTune) -> None:
    one_of_each(tune)
    table = read_reports(tune.folder)
    assert list(table.columns) == COLUMNS
    assert list(table["loss_val"]) == [0.4, 0.4, 0.4, 0.5, math.inf]
    assert list(table["state"][:3]) == ["complete", "pruned", "diverged"]


def test_at_the_end_the_log_becomes_record_and_table(tune: FakeTune) -> None:
    one_of_each(tune)
    running = read_reports(tune.folder)
    tune.close(SweepState.DONE)
    record = json.loads(tune.folder.record.read_bytes())
    assert record["state"] == "done"
    assert [found["state"] for found in record["trials"]] == ["complete", "pruned", "diverged"]
    assert tune.folder.read() == tune.log.record
    table = pd.read_parquet(str(tune.folder.reports))
    pd.testing.assert_frame_equal(table, running)
    pd.testing.assert_frame_equal(read_reports(tune.folder), table)
    names = {path.name for path in Path(str(tune.folder.place)).iterdir()}
    assert names == {"events.jsonl", "sweep.json", "trials.parquet", "tensorboard"}


def test_a_sweep_that_ends_without_a_report_has_an_empty_table(tune: FakeTune) -> None:
    tune.close(SweepState.STOPPED)
    assert tune.folder.read().state == SweepState.STOPPED
    assert read_reports(tune.folder).empty
    assert not tune.folder.reports.is_file()


def test_what_still_runs_at_the_end_was_stopped(tune: FakeTune) -> None:
    tune.start(0)
    tune.report(0, 2, 0.4)
    tune.close(SweepState.STOPPED)
    (found,) = tune.folder.read().trials
    assert found.state == TrialState.STOPPED
    assert found.ended_unix_s is not None
    assert tune.folder.read().best == found


def test_a_trial_that_fails_says_why(tune: FakeTune) -> None:
    tune.start(0)
    failed = {"report": None, "reason": "no room", "errors": "no room\nTraceback ...\n"}
    tune.report(0, 0, math.nan, TrialState.FAILED, **failed)
    tune.complete(0)
    tune.start(1)
    tune.log.on_trial_error(0, [], trial(1))
    first, second = tune.folder.read().trials
    assert (first.state, first.reason) == (TrialState.FAILED, "no room")
    assert (second.state, second.reason) == (TrialState.FAILED, ACTOR_LOST)
    told = tune.folder.errors_of("id0").read_bytes()
    assert told == b"no room\nTraceback ...\n"
    assert not tune.folder.errors_of("id1").is_file()


def test_a_sweep_whose_process_died_is_interrupted_and_goes_on(tune: FakeTune) -> None:
    one_of_each(tune)
    tune.log.close(SweepState.STOPPED)
    tune.die()
    again = FakeTune(Path(str(tune.folder.place)), resume=True)
    assert not again.folder.record.is_file(), "the log counts again"
    again.die()
    record = again.folder.read()
    assert record.state == SweepState.INTERRUPTED
    assert record.trials_left == 0
    assert again.log.record.state == SweepState.RUNNING


def test_a_trial_that_was_cut_short_goes_on(tune: FakeTune) -> None:
    tune.start(0)
    tune.report(0, 2, 0.4)
    tune.die()
    with Path(str(tune.folder.events)).open("ab") as file:
        file.write(b'{"version": 1, "event": "tri')
    again = FakeTune(Path(str(tune.folder.place)), resume=True)
    (found,) = again.log.record.trials
    assert (found.state, found.step) == (TrialState.WAITING, 2)
    assert again.log.record.trials_left == 3
    resumed = trial(0)
    resumed.config["reported_step"] = 2
    again.log.on_trial_start(0, [], resumed)
    assert found.state == TrialState.RUNNING
    again.report(0, 8, 0.3, TrialState.COMPLETE)
    again.close(SweepState.STOPPED)
    (ended,) = again.folder.read().trials
    assert (ended.state, ended.step, ended.loss_val) == (TrialState.COMPLETE, 8, 0.3)
    assert list(read_reports(again.folder)["step"]) == [2, 8]
    assert len(list(events_in(again.folder.events.read_bytes()))) == 8


def test_a_trial_that_asha_had_stopped_ends_as_pruned(tune: FakeTune) -> None:
    tune.start(0)
    tune.report(0, 2, 0.4)
    tune.log.end_pruned({"id0"})
    tune.log.end_pruned({"id0"})
    (found,) = tune.folder.read().trials
    assert found.state == TrialState.PRUNED
    assert len(tune.folder.events.read_bytes().splitlines()) == 4


def test_every_event_is_shown(tune: FakeTune) -> None:
    assert tune.seen == [(0, "running")]
    tune.start(0)
    tune.report(0, 2, 0.4)
    tune.close(SweepState.DONE)
    assert tune.seen[1:] == [(1, "running")] * 3 + [(1, "done")]


def test_a_line_that_is_still_being_written_is_no_event(tune: FakeTune) -> None:
    tune.start(0)
    tune.report(0, 2, 0.4)
    whole = tune.folder.events.read_bytes()
    before = list(events_in(whole))
    lines = whole.splitlines(keepends=True)
    for length in range(len(lines[-1])):
        torn = b"".join(lines[:-1]) + lines[-1][:length]
        assert list(events_in(torn)) == before[:-1]
        Path(str(tune.folder.events)).write_bytes(torn)
        assert tune.folder.read().trials[0].step == 0


def test_each_line_stands_for_itself(tune: FakeTune) -> None:
    one_of_each(tune)
    lines = [json.loads(line) for line in tune.folder.events.read_bytes().splitlines()]
    assert {line["version"] for line in lines} == {EVENT_VERSION}
    assert lines[0]["event"] == "sweep_started"
    of_trials = [line for line in lines if line["event"].startswith("trial_")]
    assert {line["trial"] for line in of_trials} == {"id0", "id1", "id2"}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 0.25, None])
def test_numbers_that_are_not_finite_survive_a_line_of_json(value: float | None) -> None:
    event = TrialReported(
        trial="nan",
        number=0,
        state=TrialState.RUNNING,
        reason="inf",
        step=1,
        rung=0,
        loss_val=0.5,
        loss_train=0.5,
        best_loss_val=0.5,
        best_step=0,
        learning_rate_now=None,
        grad_norm=value,
        steps_per_s=1.0,
        trained_parameters=7,
        reported_unix_s=1.0,
    )
    line = events.line_of(event)
    json.loads(line, parse_constant=pytest.fail)
    (found,) = events_in(line)
    assert repr(found) == repr(event)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda lines: lines[1:], "does not begin with the start"),
        (lambda lines: [], "does not begin with the start"),
        (lambda lines: [*lines, b"{\n"], "cannot be read"),
        (lambda lines: [*lines, lines[0]], "has started already"),
        (lambda lines: [lines[0], lines[2]], "cannot be read"),
        (
            lambda lines: [lines[0].replace(b'"version": 1', b'"version": 9', 1)],
            "version 9, not 1",
        ),
    ],
)
def test_a_log_that_cannot_be_read_is_a_users_case(
    tune: FakeTune, spoil: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    tune.start(0)
    tune.report(0, 2, 0.4)
    lines = tune.folder.events.read_bytes().splitlines(keepends=True)
    Path(str(tune.folder.events)).write_bytes(b"".join(spoil(lines)))
    with pytest.raises(SweepError, match=message):
        tune.folder.read()


def bytes_written() -> int:
    """Return how many bytes this process has given to the operating system to write."""
    facts = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(facts["wchar"])


def test_an_event_costs_the_same_however_many_came_before(tune: FakeTune) -> None:
    tune.start(0)

    def cost_of_reports(first: int) -> int:
        before = bytes_written()
        for step in range(first, first + 100):
            tune.report(0, step, 0.4)
        return bytes_written() - before

    early = cost_of_reports(1_000)
    cost_of_reports(2_000)
    for first in range(3_000, 8_000, 100):
        cost_of_reports(first)
    late = cost_of_reports(8_000)
    assert len(read_reports(tune.folder)) > 5_000
    # TensorBoard's threads write when they like; what grew with the reports would be eight times
    assert late == pytest.approx(early, rel=0.25)


REPORT = Report(step=4, loss_val=0.5, loss_train=0.5, steps_per_s=1.0, curve=())


@pytest.mark.parametrize(
    ("change", "outcome"),
    [
        ({}, None),
        ({"step": 8}, TrialState.COMPLETE),
        ({"early_stopped": True}, TrialState.COMPLETE),
        ({"diverged": "the loss was nan"}, TrialState.DIVERGED),
        ({"step": 8, "diverged": "the loss was nan"}, TrialState.DIVERGED),
    ],
)
def test_how_a_trial_ends_by_itself(change: dict[str, Any], outcome: TrialState | None) -> None:
    assert outcome_of(dataclasses.replace(REPORT, **change), SWEEP.budget) == outcome


def test_how_a_trial_ends_that_says_nothing_itself() -> None:
    assert end_state(None) == TrialState.PRUNED
    assert end_state("complete") == TrialState.COMPLETE
    assert end_state("complete", lost=True) == TrialState.FAILED


def test_a_trial_that_is_stopped_by_hand_ends_as_pruned(tune: FakeTune) -> None:
    tune.start(0)
    tune.report(0, 2, 0.4)
    assert tune.log.stop_trial("id0")
    assert not tune.log.stop_trial("id9"), "there is none"
    assert tune.log.is_stopped_by_hand("id0")
    tune.complete(0)
    assert not tune.log.stop_trial("id0"), "it has ended"
    (found,) = tune.folder.read().trials
    assert (found.state, found.reason) == (TrialState.PRUNED, BY_HAND)


def test_a_pause_is_written_down_once_and_ends_with_the_process(tune: FakeTune) -> None:
    for paused in (True, True):
        tune.log.pause(paused)
        assert tune.folder.read().state == SweepState.PAUSED
    tune.log.pause(False)
    assert tune.folder.read().state == SweepState.RUNNING
    lines = tune.folder.events.read_bytes()
    assert lines.count(b"sweep_paused") == 2
    tune.log.pause(True)
    tune.die()
    assert tune.folder.read().state == SweepState.INTERRUPTED


def test_a_clone_is_owed_from_when_it_is_asked_for(tmp_path: Path) -> None:
    tune = FakeTune(tmp_path / "mine")
    tune.start(0)
    settings = {**trial(0).config["settings"], "weight_decay": 0.5}
    clone = CloneAsked("of_id0", 0, 4, trial(0).config["swept"], settings)
    tune.log.clone_asked(clone)
    wanted = SWEEP.trials + 1
    assert tune.folder.read().trials_wanted == wanted
    summary = summary_of(tune.log.record, 0.0)
    assert f"0 of {wanted} ended, 1 running on 1 lane, {wanted - 1} waiting" in summary
    begun = trial(1)
    parent = {"cloned_from": 0, "cloned_at_step": 4, "origin": "of_id0"}
    begun.config |= {"settings": settings, "clone": parent}
    tune.log.on_trial_start(0, [], begun)
    record = tune.folder.read()
    assert (record.clones_to_come, len(record.own_trials)) == ([], 1)
    assert record.trials[1].origin == "of_id0"
    shown = Console(width=200, file=io.StringIO())
    shown.print(sweep_table(record))
    text = cast("io.StringIO", shown.file).getvalue()
    assert "trial 1 was cloned from trial 0 at step 4: weight_decay=0.5" in text
    assert "(cloned from trial 0 at step 4)" in line_of(record.trials[1])
    assert "cloned_from,cloned_at_step" in trials_csv(record)


def test_a_clones_folder_is_inside_of_its_sweeps() -> None:
    with pytest.raises(ValueError, match="of a clone's folder"):
        CloneAsked("../elsewhere", 0, 4, {}, {})

"""Runs the best trials again with other seeds, on the sweep's own lanes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ray

from vibesweep.config import Sweep, TrialSettings
from vibesweep.progress import Say
from vibesweep.storage import StoragePath
from vibesweep.sweep.record.log import SweepLog
from vibesweep.sweep.record.record import TrialRecord
from vibesweep.sweep.record.states import TrialState
from vibesweep.sweep.record.table import ranked
from vibesweep.training.lanes.messages import Answer, Command

OTHER_SEEDS = 2
"""Runs of each of the best trials besides its own."""
SEEDS = 2**32


def repeats_of(sweep: Sweep) -> int:
    """Return how many runs there will be at most."""
    return OTHER_SEEDS * sweep.repeat_best


def repeat_best(
    sweep: Sweep,
    dispatcher: Any,
    log: SweepLog,
    checkpoints: StoragePath,
    say: Say,
) -> None:
    """Train the best complete trials again, each with other seeds, to the end of the budget.

    Nothing is done while trials are left, as of a sweep that was stopped.

    Args:
        sweep: says how many.
        dispatcher: gives each run a lane.
        log: hears of each that is done.
        checkpoints: folder of the trials' checkpoints; those of these runs are not kept.
        say: told what is about to happen.
    """
    record = log.record
    if not sweep.repeat_best or record.trials_left:
        return
    if not record.aim.by_loss:
        say("the best trials are not run again: seeds are compared by loss, and this sweep is not")
        return
    complete = [trial for trial in ranked(record) if trial.state == TrialState.COMPLETE]
    best = complete[: sweep.repeat_best]
    asked = {}
    for trial, command in _runs_of(best, sweep.budget.report_steps, record.repeats):
        advance = dispatcher.advance.options(name=command.trial_id)
        answer = advance.remote(command)
        asked[answer] = (trial, command)
    if asked:
        say(f"the best {len(best)} trials are run again with {OTHER_SEEDS} other seeds each")
    waiting = list(asked)
    while waiting:
        (done,), waiting = ray.wait(waiting)
        trial, command = asked[done]
        loss = _best_loss(ray.get(done))
        ray.get(dispatcher.release.remote(command.trial_id, ended=True))
        checkpoint = checkpoints / command.trial_id
        checkpoint.remove()
        if math.isfinite(loss):
            log.repeated(trial, command.settings.seed, loss)


def _best_loss(answer: Answer) -> float:
    """Return a run's smallest validation loss; infinity where it failed or diverged."""
    report = answer.report
    return math.inf if report is None else report.best_loss_val


def _runs_of(
    best: Sequence[TrialRecord],
    report_steps: tuple[int, ...],
    repeats: Sequence[Mapping[str, Any]],
) -> Iterator[tuple[TrialRecord, Command]]:
    """Yield the runs that are not among those which are done, each with its trial."""
    known = set()
    for repeat in repeats:
        run = (repeat["number"], repeat["seed"])
        known.add(run)
    for number in range(1, OTHER_SEEDS + 1):
        for trial in best:
            settings = TrialSettings(**trial.settings)
            seed = (settings.seed + number) % SEEDS
            if (trial.number, seed) in known:
                continue
            name = f"{trial.id}-seed-{seed}"
            other = replace(settings, seed=seed)
            yield trial, Command(name, other, report_steps, trial.origin)

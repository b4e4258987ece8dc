"""Sweeps that were never run: folders as a sweep leaves them, of any number of trials.

Losses follow a valley in the learning rate, each trial falls towards its own level, and ASHA's
rungs stop the worse ones. No ray, and no time is spent on training.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.trial import create_trial

from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.sweep.record import SweepFolder, SweepRecord, SweepState, TrialState, sweep_as_json
from vibesweep.sweep.record.events import (
    BaseValidated,
    Event,
    SweepEnded,
    SweepStarted,
    TrialEnded,
    TrialReported,
    TrialStarted,
    line_of,
)
from vibesweep.sweep.record.replay import replayed
from vibesweep.sweep.record.study import STUDY_NAME, quiet_optuna, study_storage

BUDGET = Budget(max_steps=54, grace_steps=6, reduction_factor=3)
SPACE: dict[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-4, 1e-2, log=True),
    "optimizer": CategoricalDistribution(["adamw", "lion"]),
    "lora_rank": CategoricalDistribution([4, 8, 16, 32]),
}
BEST_RATE = 1e-3
BASE_LOSS = 0.5
STARTED_UNIX_S = 1_700_000_000.0
STEP_S = 0.5
MAKING_S = 2.0
"""Seconds from a trial's start to its first step, which takes no time here."""
DIVERGED_REASON = "the training loss was nan after step 8"
FAILED_REASON = "no room for the batch"


@dataclasses.dataclass
class MadeSweep:
    """A sweep in the making: its events so far, and which lane is free when."""

    record: SweepRecord
    events: list[Event]
    free_unix_s: list[float]
    swept: list[dict[str, Any]] = dataclasses.field(default_factory=list)


def write_sweep(
    place: Path,
    trials: int = 12,
    *,
    lanes: int = 2,
    state: SweepState = SweepState.DONE,
    shards: str = "/no/shards",
    reason: str = DIVERGED_REASON,
    seed: int = 0,
) -> SweepFolder:
    """Write a sweep's folder; trial 1 diverges and trial 2 fails.

    Args:
        place: the folder, whose name is the sweep's.
        trials: how many have begun.
        lanes: how many train at a time.
        state: where the sweep stands; a running one has only its log.
        shards: what it says to be trained on.
        reason: why trial 1 diverged.
        seed: of the settings and losses.
    """
    place.mkdir(parents=True)
    folder = SweepFolder(place)
    made = _begin(place.name, max(trials, 1), lanes, shards)
    rng = np.random.default_rng(seed)
    for number in range(trials):
        _add_trial(made, number, rng, reason)
    content = b"".join(line_of(event) for event in made.events)
    if state == SweepState.RUNNING:
        folder.events.write_bytes(content)
    else:
        end = SweepEnded(state, max(made.free_unix_s))
        folder.compact(replayed(content + line_of(end)))
    _write_study(folder, made.swept)
    return folder


def _begin(name: str, trials: int, lanes: int, shards: str) -> MadeSweep:
    sweep = Sweep(SPACE, budget=BUDGET, trials=trials, settings=TrialSettings(batch_clips=4))
    versions = {"vibesweep": "0.1.0", "commit": "abc1234 with changes", "torch": "2.11.0"}
    record = SweepRecord(
        name=name,
        model="mel-small",
        shards=shards,
        shards_signature="feedbeef0123456789",
        sweep=sweep_as_json(sweep),
        lanes=lanes,
        versions=versions,
        started_unix_s=STARTED_UNIX_S,
    )
    events: list[Event] = [SweepStarted(dataclasses.asdict(record)), BaseValidated(BASE_LOSS)]
    return MadeSweep(record, events, [STARTED_UNIX_S + 10.0] * lanes)


def _add_trial(made: MadeSweep, number: int, rng: np.random.Generator, reason: str) -> None:
    swept: dict[str, Any] = {
        "learning_rate": float(10 ** rng.uniform(-4, -2)),
        "optimizer": str(rng.choice(["adamw", "lion"])),
        "lora_rank": int(rng.choice([4, 8, 16, 32])),
    }
    made.swept.append(swept)
    level = 0.2 + 0.1 * math.log10(swept["learning_rate"] / BEST_RATE) ** 2 + 0.01 * rng.random()
    lane = int(np.argmin(made.free_unix_s))
    began = made.free_unix_s[lane]
    trial = f"id{number}"
    settings = dataclasses.asdict(TrialSettings(**swept))
    made.events.append(TrialStarted(trial, number, swept, settings, began))
    if number == 2:
        made.events.append(TrialEnded(trial, TrialState.FAILED, FAILED_REASON, began + 1.0))
        return
    state, steps = _fate(number, level)
    for step in steps:
        diverged = state == TrialState.DIVERGED and step == steps[-1]
        loss = math.inf if diverged else level + (BASE_LOSS - level) * math.exp(-step / 6)
        at = began + MAKING_S + STEP_S * step
        best = level + (BASE_LOSS - level) * math.exp(-steps[-1] / 6)
        event = TrialReported(
            trial=trial,
            number=number,
            state=state if step == steps[-1] else TrialState.RUNNING,
            reason=reason if diverged else "",
            step=step,
            rung=sum(step >= rung for rung in BUDGET.rung_steps),
            loss_val=loss,
            loss_train=loss,
            best_loss_val=min(loss, best if state != TrialState.DIVERGED else 0.45),
            best_step=6 if diverged else step,
            learning_rate_now=swept["learning_rate"],
            grad_norm=1.0,
            steps_per_s=1 / STEP_S * (1 + swept["lora_rank"] / 32),
            trained_parameters=610_000,
            step_ms=1_000 * STEP_S / (1 + swept["lora_rank"] / 32),
            peak_memory_mb=900.0 + 10 * swept["lora_rank"],
            tokens=900,
            row_tokens=1_000 + swept["lora_rank"],
            reported_unix_s=at,
            lane=f"made-lane-{lane}",
            device="cpu",
            first_step_unix_s=began + MAKING_S,
        )
        made.events.append(event)
    made.free_unix_s[lane] = at
    made.events.append(TrialEnded(trial, state, reason if diverged else "", at))


def _fate(number: int, level: float) -> tuple[TrialState, tuple[int, ...]]:
    """Return how a trial ends, and at which steps it reports."""
    if number == 1:
        return TrialState.DIVERGED, (6, 8)
    if level > 0.24:
        return TrialState.PRUNED, (6,)
    if level > 0.215:
        return TrialState.PRUNED, (6, 12, 18)
    return TrialState.COMPLETE, BUDGET.report_steps


def _write_study(folder: SweepFolder, swept: list[dict[str, Any]]) -> None:
    with quiet_optuna():
        storage = study_storage(folder.journal)
        study = optuna.create_study(study_name=STUDY_NAME, storage=storage)
        known = [create_trial(params=one, distributions=SPACE, value=0.0) for one in swept]
        study.add_trials(known)

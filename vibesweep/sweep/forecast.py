"""What a sweep is about to do: how often each clip will be heard, and how long that takes."""

from __future__ import annotations

from vibesweep.config import Budget, Sweep, TrialSettings, epoch_steps
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.sweep.record.table import format_seconds
from vibesweep.sweep.search.space import Rehearsal
from vibesweep.training.lanes.messages import Pace

SECONDS_AN_HOUR = 3_600


def typical_settings(sweep: Sweep, rehearsal: Rehearsal) -> TrialSettings:
    """Return the settings by which a budget becomes steps: the first trial's, where it is named."""
    return rehearsal.first[0] if rehearsal.first else sweep.settings


def budget_in_steps(budget: Budget, shards: str, settings: TrialSettings) -> Budget:
    """Return a budget in steps, for the training clips of shards."""
    clips, speech_s = _training_clips(shards)
    return budget.in_steps(clips, speech_s, settings)


def heard_line(budget: Budget, shards: str, settings: TrialSettings) -> str:
    """Say how often a whole trial hears each clip, and when trials are compared."""
    clips, speech_s = _training_clips(shards)
    per_epoch = epoch_steps(clips, speech_s, settings)
    epochs = budget.last_step / per_epoch
    heard = format_seconds(epochs * speech_s)
    line = (
        f"a whole trial takes {budget.last_step} steps"
        f" and hears each clip {epochs:.3g} times, {heard} of speech"
    )
    rungs = [str(step) for step in budget.rung_steps]
    if not rungs:
        return line
    steps = ", ".join(rungs)
    return f"{line}; one trial in {budget.reduction_factor} goes on at step {steps}"


def duration_line(budget: Budget, trials: int, lanes: int, pace: Pace) -> str | None:
    """Say how long that takes at a measured pace; ``None`` where no step was measured."""
    if pace.step_s is None:
        return None
    whole_s = seconds_to(budget.last_step, budget, pace)
    shared_s = seconds_of_trials(budget, trials, pace) / lanes
    whole = format_seconds(whole_s)
    everything = format_seconds(max(whole_s, shared_s))
    many = "1 trial" if trials == 1 else f"{trials} trials"
    return (
        f"measured: {pace.step_s:.2g} s a step, {pace.validation_s:.2g} s a validation;"
        f" so a whole trial takes about {whole},"
        f" and {many} on {lanes} lanes about {everything}"
    )


def seconds_of_trials(budget: Budget, trials: int, pace: Pace) -> float:
    """Add up how long trials train if just one in ``reduction_factor`` goes on at each rung."""
    going_on = float(trials)
    before_s = 0.0
    total_s = 0.0
    for step in (*budget.rung_steps, budget.last_step):
        until_s = seconds_to(step, budget, pace)
        total_s += going_on * (until_s - before_s)
        before_s = until_s
        going_on = max(going_on / budget.reduction_factor, 1.0)
    return total_s


def seconds_to(step: int, budget: Budget, pace: Pace) -> float:
    """Return how long one trial takes to a step, with its validations up to there."""
    reports = [reported for reported in budget.report_steps if reported <= step]
    training_s = step * (pace.step_s or 0.0)
    validating_s = len(reports) * pace.validation_s
    return training_s + validating_s


def _training_clips(shards: str) -> tuple[int, float]:
    """Return the number of training clips, and the seconds of speech in them."""
    manifest = read_manifest(shards)
    hours = manifest.hours["train"]
    return manifest.clips["train"], hours * SECONDS_AN_HOUR

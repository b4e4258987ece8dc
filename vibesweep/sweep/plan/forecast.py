"""What a sweep is about to do: how often each clip will be heard, and how long that takes."""

from __future__ import annotations

from vibesweep.config import Budget, Sweep, TrialSettings, epoch_steps
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.sweep.record.plan import SECONDS_AN_HOUR, SweepPlan, likely_time
from vibesweep.sweep.record.table import format_seconds
from vibesweep.sweep.search.space import Rehearsal


def typical_settings(sweep: Sweep, rehearsal: Rehearsal) -> TrialSettings:
    """Return the settings by which a budget becomes steps: the first trial's, where it is named."""
    return rehearsal.first[0] if rehearsal.first else sweep.settings


def heard_line(budget: Budget, clips: int, speech_s: float, settings: TrialSettings) -> str:
    """Say how often a whole trial hears each clip, and when trials are compared.

    Args:
        budget: in steps.
        clips: training clips.
        speech_s: seconds of speech in them.
        settings: say how much a step holds.
    """
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


def duration_line(plan: SweepPlan) -> str | None:
    """Say how long that takes at a measured pace; ``None`` where no step was measured."""
    if plan.step_s is None or plan.wall_s is None or plan.whole_trial_s is None:
        return None
    whole = format_seconds(plan.whole_trial_s)
    everything = likely_time(plan, plan.wall_s)
    many = "1 trial" if plan.trials == 1 else f"{plan.trials} trials"
    lanes = "1 lane" if plan.lanes == 1 else f"{plan.lanes} lanes"
    return (
        f"measured: {plan.step_s:.2g} s a step, {plan.validation_s:.2g} s a validation;"
        f" so a whole trial takes about {whole},"
        f" and {many} on {lanes} about {everything}"
    )


def training_clips(shards: str) -> tuple[int, float]:
    """Return the number of training clips, and the seconds of speech in them."""
    manifest = read_manifest(shards)
    hours = manifest.hours["train"]
    return manifest.clips["train"], hours * SECONDS_AN_HOUR

"""How much of what the lanes computed filled rows up to their one shape."""

from __future__ import annotations

from collections.abc import Sequence

from vibesweep.sweep.record import TrialRecord

LEAST_APART = 0.005
"""Shares of trials that are closer than this are told as one."""


def filling_of(trial: TrialRecord) -> float | None:
    """Return the share of a trial's tokens that filled rows up; ``None`` if nothing is known."""
    if not trial.row_tokens:
        return None
    return 1 - trial.tokens / trial.row_tokens


def filling_lines(trials: Sequence[TrialRecord]) -> list[str]:
    """Say in a sentence or two what filling there was; nothing if it is not known."""
    known = [(filling, trial) for trial in trials if (filling := filling_of(trial)) is not None]
    if not known:
        return []
    tokens = sum(trial.tokens for _, trial in known)
    row_tokens = sum(trial.row_tokens for _, trial in known)
    if tokens == row_tokens:
        return ["No row was filled up: each was computed as long as its clips were."]
    line = (
        f"Of the tokens that were computed in training, {_percent(1 - tokens / row_tokens)} filled "
        "rows up to their one shape."
    )
    least, least_trial = min(known, key=_by_filling)
    most, most_trial = max(known, key=_by_filling)
    if most - least >= LEAST_APART:
        line = (
            f"{line} It was least in trial {least_trial.number}, {_percent(least)}, and most in "
            f"trial {most_trial.number}, {_percent(most)}."
        )
    return [line]


def _by_filling(known: tuple[float, TrialRecord]) -> float:
    return known[0]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"

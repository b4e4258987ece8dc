"""Whether anything that a space suggests can be trained with, by the model and the resources."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec

from vibesweep.config import Sweep, TrialSettings
from vibesweep.errors import SpaceError, VibesweepError
from vibesweep.models.asked import TAKEN_BY_ALL, asked_of_model
from vibesweep.models.registry import ModelRef
from vibesweep.progress import Say
from vibesweep.sweep.search.space import Drawn, Rehearsal
from vibesweep.sweep.search.survey import Refusal

NEEDS_CUDA = "adamw_8bit"
"""The optimizer that runs on CUDA devices alone."""


def refuse_unusable(rehearsal: Rehearsal, refusal: Refusal, say: Say) -> None:
    """Refuse a space that nothing can be trained with, and tell how much of it cannot.

    Args:
        rehearsal: what the space suggests.
        refusal: says why settings cannot be trained with, or None.
        say: told of a space of which some can be.

    Raises:
        VibesweepError: why all of it is refused, or a point of ``try_first``.
    """
    for number, settings in enumerate(rehearsal.first):
        error = refusal(settings)
        if error is not None:
            where = f"try_first[{number}].{error.where}"
            raise type(error)(error.found, where=where, fix=error.fix)
    refusals = [refusal(settings) for settings in rehearsal.settings]
    reasons = [error for error in refusals if error is not None]
    if not reasons:
        return
    if len(reasons) == len(refusals):
        raise reasons[0]

    def is_unusable(found: Drawn) -> bool:
        return isinstance(found, TrialSettings) and refusal(found) is not None

    share = _share_of_draws(rehearsal, is_unusable)
    say(f"{share} of what the space suggests is refused, and such trials fail: {reasons[0]}")


def refusal_by_resources(sweep: Sweep) -> Refusal:
    """Return what says why a sweep's resources can do nothing with settings, or None."""

    def refusal(settings: TrialSettings) -> VibesweepError | None:
        if settings.optimizer != NEEDS_CUDA or sweep.resources.gpus_per_worker:
            return None
        found = f"{NEEDS_CUDA} is trained on no CUDA device: gpus_per_worker is 0"
        fix = "choose 'adamw', or resources=TrialResources(gpus_per_worker=1)"
        return SpaceError(found, where="optimizer", fix=fix)

    return refusal


def refusal_by_model(model: ModelRef, rehearsal: Rehearsal) -> Refusal:
    """Return what says why a model can do nothing with settings, or None.

    torch is imported only where the space sets something that a model may refuse.
    """
    asked = {asked_of_model(settings) for settings in rehearsal.settings}
    if asked <= TAKEN_BY_ALL:
        return lambda settings: None
    from vibesweep.training.fit import ModelFit  # imports torch

    return ModelFit(model).refusal


def refusal_here(settings: TrialSettings) -> VibesweepError | None:
    """Say why settings cannot be trained with on this machine, by what is installed."""
    if settings.optimizer != NEEDS_CUDA or find_spec("bitsandbytes") is not None:
        return None
    found = f"{NEEDS_CUDA} finds no bitsandbytes"
    fix = "choose 'adamw', or install bitsandbytes"
    return SpaceError(found, where="optimizer", fix=fix)


def space_remarks(sweep: Sweep, rehearsal: Rehearsal) -> Iterator[str]:
    """Say what of a space and its ``try_first`` is drawn again, left out or not tried."""
    refusals = rehearsal.refusals
    if refusals:
        share = _share_of_draws(rehearsal, _is_refused)
        found = "of what the space suggests does not go together and is drawn again"
        yield f"{share} {found}: {refusals[0]}"
    points = len(sweep.try_first)
    left_out = points - len(rehearsal.first)
    if left_out:
        found = f"{left_out} of the {points} points of try_first"
        why = "with what is fixed they are no points of the space, or repeats"
        yield f"{found} are left out: {why}"
    untried = len(rehearsal.first) - sweep.trials
    if untried > 0:
        yield f"trials is {sweep.trials}: the last {untried} of try_first are not tried"


def _is_refused(found: Drawn) -> bool:
    return not isinstance(found, TrialSettings)


def _share_of_draws(rehearsal: Rehearsal, counts: Callable[[Drawn], bool]) -> str:
    """Return the share of the random draws that count, such as ``12 %``."""
    draws = rehearsal.at_random
    counted = [found for found in draws if counts(found)]
    percent = round(100 * len(counted) / len(draws))
    return f"{percent} %" if percent else "under 1 %"

"""Decides how a trial ends whose worker group has failed, and whether its lane is to blame.

When one of several workers dies, the others fail too: what they wait for in a collective never
comes. Often their errors arrive before anybody has noticed the death. So a worker's error decides
nothing: it is kept until Train's controller, which watches all processes, says what it has seen.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from vibesweep.training.lanes.messages import Answer, RankError

OUT_OF_MEMORY_WORDS = ("out of memory", "can't allocate memory", "alloc_failed")
"""What torch says when a GPU, the CPU's allocator or one of NVIDIA's libraries has no room."""
PEER_ERROR = "DistError"
"""Torch's base class of errors in collectives, by name: the driver does not load torch."""
PEER_WORDS = ("gloo", "nccl")
"""What torch says in the errors of collectives that have no class of their own."""
HOST_WORDS = ("its node has died",)
"""What Ray 2.60.0 says in the error of a process whose whole host is gone."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a device or the host has no room for what was asked."""
    if isinstance(error, MemoryError):
        return True
    return _says(error, OUT_OF_MEMORY_WORDS)


def is_for_a_peer(error: BaseException) -> bool:
    """Tell whether an error only says that other workers did not come to a collective."""
    kinds = [kind.__name__ for kind in type(error).__mro__]
    if PEER_ERROR in kinds:
        return True
    return isinstance(error, RuntimeError) and _says(error, PEER_WORDS)


def has_lost_host(error: BaseException) -> bool:
    """Tell whether an error, or one that it is raised from, says that a whole host is gone."""
    found: BaseException | None = error
    while found is not None and not _says(found, HOST_WORDS):
        found = found.__cause__
    return found is not None


def _says(error: BaseException, words: Sequence[str]) -> bool:
    text = str(error).lower()
    return any(word in text for word in words)


def ending_of(trial_id: str | None, seen: Answer, told: Sequence[RankError]) -> Answer:
    """Decide how a trial ends whose worker group has failed.

    Args:
        trial_id: the trial that has the lane; ``None`` where the lane has none.
        seen: what Train's controller saw; ``lost`` if a process died.
        told: what the workers told before, in the order of their ranks.

    Returns:
        Its end. It is ``lost``, so that the trial may go on elsewhere, unless a worker told of an
        error of the trial's own. A death that a worker told of beforehand, since it made no
        progress, is that worker's to explain; so is the end of one that left a host, or whose
        memory too many trials shared.
    """
    for error in told:
        if error.answer.leaving or error.answer.crowded:
            return error.answer
    stalled = [error.answer for error in told if error.answer.stalled]
    if seen.lost and stalled:
        stacks = "\n".join(answer.traceback for answer in stalled)
        return dataclasses.replace(stalled[0], traceback=stacks)
    if seen.lost:
        return seen
    of_this_trial = [error.answer for error in told if error.trial_id == trial_id]
    causes = [answer for answer in of_this_trial if not answer.lost]
    if causes:
        return causes[0]
    return dataclasses.replace(seen, lost=True)


def counts_against_lane(seen: Answer, told: Sequence[RankError]) -> bool:
    """Decide whether a lost worker group is one of the few that a lane may lose.

    It is not where a trial's settings are why, where its trials left a host before that went, or
    where they were too many: the lane is as sound as before.
    """
    if any(error.answer.leaving or error.answer.crowded for error in told):
        return False
    by_settings = any(error.answer.by_settings for error in told)
    return seen.lost or not by_settings

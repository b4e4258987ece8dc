"""How much disk a sweep's folder takes at most, known before its first trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

from vibesweep.config import Sweep, TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.registry import ModelRef
from vibesweep.models.speech_model import SpeechModel
from vibesweep.sweep.record.table import format_bytes
from vibesweep.training.sizes import BYTES, TrialSize, sized_like, trial_size

MOST_SIZED = 24
"""Settings whose trials' sizes are worked out. Each that is unlike the others takes some hundredths
of a second with the shipped base, half a second with VibeVoice's."""
WHILE_REPLACED = 2
"""Files are written before those that they replace are removed."""


@dataclass(frozen=True)
class DiskBound:
    """What a sweep's folder takes at most, beside its log and curves.

    Attributes:
        checkpoint_bytes: of the kept trials' checkpoints and of those of the trials that run.
        state_bytes: of the states of the trials that run.
        bundle_bytes: of the best model, exported.
    """

    checkpoint_bytes: float
    state_bytes: float
    bundle_bytes: float

    @property
    def total_bytes(self) -> float:
        """The sum of all three."""
        return self.checkpoint_bytes + self.state_bytes + self.bundle_bytes

    def __str__(self) -> str:
        """Say it in one line."""
        total = format_bytes(self.total_bytes)
        checkpoints = format_bytes(self.checkpoint_bytes)
        states = format_bytes(self.state_bytes)
        bundle = format_bytes(self.bundle_bytes)
        return f"at most {total}: checkpoints {checkpoints}, states {states}, best model {bundle}"


def sizes_of(skeleton: SpeechModel, settings: Sequence[TrialSettings]) -> list[TrialSize]:
    """Work out the sizes of some of a space's trials, the smallest first.

    Settings that the model refuses train nothing, and have none.
    """
    every = math.ceil(len(settings) / MOST_SIZED)
    known: dict[TrialSettings, TrialSize | None] = {}
    sizes = []
    for some in settings[::every]:
        kind = sized_like(some)
        if kind not in known:
            known[kind] = _size(skeleton, kind)
        size = known[kind]
        if size is not None:
            sizes.append(size)
    return sorted(sizes, key=attrgetter("trained"))


def _size(skeleton: SpeechModel, settings: TrialSettings) -> TrialSize | None:
    """Work out a trial's size; None where the model refuses its settings."""
    try:
        return trial_size(skeleton, settings)
    except ModelError:
        return None


def disk_bound(sweep: Sweep, lanes: int, sizes: Sequence[TrialSize], parameters: int) -> DiskBound:
    """Work out the most that a sweep's folder takes, if every trial is as large as the largest.

    Args:
        sweep: says how many trials there are, and how many checkpoints are kept.
        lanes: how many trials run at the same time.
        sizes: of some of its trials.
        parameters: of the model, which the exported one has too.
    """
    checkpoint = max((size.checkpoint_bytes for size in sizes), default=0.0)
    state = max((size.state_bytes for size in sizes), default=0.0)
    kept = min(sweep.trials, sweep.keep_checkpoints)
    written = WHILE_REPLACED * lanes
    origin = int(sweep.starts_from is not None)
    checkpoints = kept + written + origin
    return DiskBound(
        checkpoint_bytes=checkpoints * checkpoint,
        state_bytes=written * state,
        bundle_bytes=float(BYTES * parameters),
    )


def disk_line(sweep: Sweep, lanes: int, model: ModelRef, settings: Sequence[TrialSettings]) -> str:
    """Say in one line how much disk a sweep's folder takes at most."""
    skeleton = model.family.skeleton(model.address)
    sizes = sizes_of(skeleton, settings)
    parameters = sum(part.numel() for part in skeleton.parameters())
    bound = disk_bound(sweep, lanes, sizes, parameters)
    kept = sweep.keep_checkpoints
    return f"disk: {bound}; the best {kept} trials' checkpoints are kept"

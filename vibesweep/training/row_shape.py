"""The one shape of a seat's rows, chosen by how long the corpus' clips are."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from operator import attrgetter

from vibesweep.config import TrialSettings
from vibesweep.corpus.sound.rates import LATENT_RATE_HZ
from vibesweep.models.clips import Augmentation, EncodedClip
from vibesweep.models.packing import RowShape, RowSize, fill_rows
from vibesweep.models.speech_model import Collator

SAMPLE_CLIPS = 256
"""Clips whose sizes are drawn."""
TOKEN_STEP = 32
"""Rows have multiples of this many tokens. Products are cut into pieces of 64 and 128, of which the
rows of several trials fill whole ones, side by side; a row of one clip is seldom that long."""
MOST_TOKENS = 8_192
"""A GPU gains nothing from longer rows."""
ROW_COST_TOKENS = 640
"""A row costs as much as this many tokens more, by its reads of the weights and its launches. The
1.5B's steps of 256 and of 2,048 tokens took 15 and 43 ms on one H100."""
PATCH_HEADROOM = 1.1
"""Room for latents beyond their mean share of a row's tokens."""
CLIP_TOKENS = 32
"""A row has room for clips of this many tokens each."""

logger = logging.getLogger(__name__)


def drawn_sizes(
    collator: Collator, clips: Sequence[EncodedClip], settings: TrialSettings
) -> list[RowSize]:
    """Draw some of the clips, the longest among them, and measure them; the longest comes first."""
    by_length = sorted(clips, key=attrgetter("length"), reverse=True)
    stride = max(len(clips) // SAMPLE_CLIPS, 1)
    sample = by_length[::stride]
    augmentation = Augmentation.of(settings)
    sizes = collator.sizes(sample, augmentation)
    return sorted(sizes, reverse=True)


def choose_shape(sizes: Sequence[RowSize], settings: TrialSettings, most_tokens: int) -> RowShape:
    """Choose the shape in which a trial's steps cost least.

    Args:
        sizes: of drawn clips, the longest first.
        settings: say how many clips a step has.
        most_tokens: what fits the device; the longest clip is computed nevertheless.
    """
    totals = _total(sizes)
    longest = sizes[0].tokens
    least = _rounded_up(longest + 1)
    most = max(min(most_tokens, MOST_TOKENS), least)
    steps = _steps(sizes, settings)
    costs = {}
    for tokens in range(least, most + 1, TOKEN_STEP):
        shape = _shape(tokens, totals, sizes)
        rows = _count_rows(shape, steps)
        costs[shape] = rows * (tokens + ROW_COST_TOKENS)
    best = min(costs, key=costs.__getitem__)
    computed = best.tokens * _count_rows(best, steps)
    empty = 1 - totals.tokens / computed
    logger.info("rows of %d tokens; %.1f %% of them are empty", best.tokens, 100 * empty)
    return best


def _total(sizes: Sequence[RowSize]) -> RowSize:
    """Add up sizes."""
    tokens = 0
    patches = 0
    for size in sizes:
        tokens += size.tokens
        patches += size.patches
    return RowSize(tokens, patches)


def _shape(tokens: int, totals: RowSize, sizes: Sequence[RowSize]) -> RowShape:
    """Give a row of this number of tokens room for the patches and clips that fill it."""
    mean_share = totals.patches / totals.tokens
    patches = int(tokens * mean_share * PATCH_HEADROOM)
    most_patches = max(size.patches for size in sizes)
    clips = tokens // CLIP_TOKENS + 1
    return RowShape(tokens, max(patches, most_patches), clips)


def _steps(sizes: Sequence[RowSize], settings: TrialSettings) -> list[Sequence[RowSize]]:
    """Cut the sample into steps as the plan does: of clips of like length."""
    clips = settings.batch_clips
    if settings.batch_seconds is not None:
        batch_patches = settings.batch_seconds * LATENT_RATE_HZ
        mean_patches = _total(sizes).patches / len(sizes)
        clips = max(round(batch_patches / mean_patches), 1)
    steps = []
    for start in range(0, len(sizes), clips):
        step = sizes[start : start + clips]
        steps.append(step)
    return steps


def _count_rows(shape: RowShape, steps: Sequence[Sequence[RowSize]]) -> int:
    """Count the rows that the steps take."""
    rows = 0
    for step in steps:
        filled = fill_rows(step, shape.limits)
        rows += len(filled)
    return rows


def _rounded_up(tokens: int) -> int:
    steps = math.ceil(tokens / TOKEN_STEP)
    return steps * TOKEN_STEP

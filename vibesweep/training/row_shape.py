"""The one shape of a seat's rows, chosen by how long the corpus' clips are."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from vibesweep.config import TrialSettings
from vibesweep.corpus.sound.rates import LATENT_RATE_HZ
from vibesweep.models.clips import Augmentation, EncodedClip
from vibesweep.models.packing import RowShape, RowSize, fill_rows
from vibesweep.models.speech_model import Collator

SAMPLE_CLIPS = 256
"""Clips whose sizes are drawn."""
TOKEN_STEP = 128
"""Rows have multiples of this many tokens: what matrix products are cut into."""
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
    by_length = sorted(clips, key=lambda clip: clip.length, reverse=True)
    stride = max(len(clips) // SAMPLE_CLIPS, 1)
    sample = by_length[::stride]
    sizes = collator.sizes(sample, Augmentation.of(settings))
    return sorted(sizes, reverse=True)


def choose_shape(sizes: Sequence[RowSize], settings: TrialSettings, most_tokens: int) -> RowShape:
    """Choose the shape in which a trial's steps cost least.

    Args:
        sizes: of drawn clips, the longest first.
        settings: say how many clips a step has.
        most_tokens: what fits the device; the longest clip is computed nevertheless.
    """
    tokens = sum(size.tokens for size in sizes)
    patches = sum(size.patches for size in sizes)
    share = PATCH_HEADROOM * patches / tokens
    least = _rounded_up(sizes[0].tokens + 1)
    most = max(min(most_tokens, MOST_TOKENS), least)
    steps = _steps(sizes, settings, patches / len(sizes))
    shapes = [_shape(count, share, sizes) for count in range(least, most + 1, TOKEN_STEP)]
    best = min(shapes, key=lambda shape: _cost(shape, steps))
    rows = sum(len(fill_rows(step, best.limits)) for step in steps)
    empty = 1 - tokens / (rows * best.tokens)
    logger.info("rows of %d tokens; %.1f %% of them are empty", best.tokens, 100 * empty)
    return best


def _shape(tokens: int, share: float, sizes: Sequence[RowSize]) -> RowShape:
    longest = max(size.patches for size in sizes)
    patches = max(int(tokens * share), longest)
    return RowShape(tokens, patches, tokens // CLIP_TOKENS + 1)


def _steps(
    sizes: Sequence[RowSize], settings: TrialSettings, mean_patches: float
) -> list[Sequence[RowSize]]:
    """Cut the sample into steps as the plan does: of clips of like length."""
    clips = settings.batch_clips
    if settings.batch_seconds is not None:
        clips = max(round(settings.batch_seconds * LATENT_RATE_HZ / mean_patches), 1)
    return [sizes[start : start + clips] for start in range(0, len(sizes), clips)]


def _cost(shape: RowShape, steps: Sequence[Sequence[RowSize]]) -> int:
    """Count the tokens that the steps' rows cost."""
    rows = sum(len(fill_rows(step, shape.limits)) for step in steps)
    return rows * (shape.tokens + ROW_COST_TOKENS)


def _rounded_up(tokens: int) -> int:
    return -(-tokens // TOKEN_STEP) * TOKEN_STEP

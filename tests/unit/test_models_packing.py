"""Clips in one row see nobody but themselves, and rows are filled well."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vibesweep.models.clipwise_attention import clipwise_attention
from vibesweep.models.packing import RowLimits, RowSize, clip_starts, fill_rows


def sizes(count: int, seed: int = 0) -> list[RowSize]:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(30, 500, count)
    return [RowSize(int(size), int(size) // 2) for size in tokens]


@pytest.mark.parametrize(
    "limits", [RowLimits(1_000), RowLimits(1_000, patches=400), RowLimits(1_000, clips=3)], ids=str
)
def test_rows_keep_to_their_limits_and_hold_each_clip_once(limits: RowLimits) -> None:
    clips = sizes(80)
    rows = fill_rows(clips, limits)
    assert sorted(place for row in rows for place in row) == list(range(80))
    for row in rows:
        assert sum(clips[place].tokens for place in row) <= limits.tokens
        assert sum(clips[place].patches for place in row) <= limits.patches
        assert len(row) <= limits.clips


def test_rows_are_filled_to_99_percent() -> None:
    clips = sizes(400)
    rows = fill_rows(clips, RowLimits(2_048))
    full = sum(clip.tokens for clip in clips)
    assert full / (2_048 * (len(rows) - 1)) > 0.99, "the last one may be nearly empty"


def test_a_clip_that_is_too_long_is_a_row_of_its_own() -> None:
    assert fill_rows([RowSize(10), RowSize(99), RowSize(20)], RowLimits(40)) == [[1], [2, 0]]


def test_attention_in_a_row_is_that_of_each_clip_alone() -> None:
    lengths = [5, 1, 9]
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(1, 4, 15, 8, generator=generator)
    key, value = torch.randn(2, 1, 2, 15, 8, generator=generator)
    starts = clip_starts(lengths)
    found, _ = clipwise_attention(
        nn.Identity(), query, key, value, None, scaling=0.3, starts=starts
    )
    for start, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        alone = F.scaled_dot_product_attention(
            query[:, :, start:end],
            key[:, :, start:end].repeat_interleave(2, 1),
            value[:, :, start:end].repeat_interleave(2, 1),
            is_causal=True,
            scale=0.3,
        )
        assert torch.allclose(found[:, start:end], alone.transpose(1, 2), atol=1e-6)

"""Clips side by side in one row: how many go into it, and where each of them is.

Shapes: ``N`` tokens of a row, ``C`` clips, ``K`` rows of as many trials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor


class RowSize(NamedTuple):
    """What a clip takes of a row.

    Attributes:
        tokens: of its sequence.
        patches: latents to be spoken.
    """

    tokens: int
    patches: int = 0


@dataclass(frozen=True)
class RowLimits:
    """How much a row may hold.

    Attributes:
        tokens: of all its clips together.
        patches: latents to be spoken.
        clips: number of clips.
    """

    tokens: int
    patches: float = math.inf
    clips: float = math.inf


@dataclass(frozen=True)
class RowShape:
    """The one shape of all rows of a place that trials train in.

    What a row lacks is filled up with tokens and latents that count nothing. They end the row and
    are nobody's: their clip has no part in the losses.

    Attributes:
        tokens: of a row.
        patches: latents to be spoken.
        clips: number of clips.
    """

    tokens: int
    patches: int
    clips: int

    def holds(self, row: Any) -> bool:
        """Tell whether a row, which says what it has of each of the three, can be filled up."""
        fitting = self.limits
        few_tokens = row.tokens <= fitting.tokens
        few_patches = row.patches <= fitting.patches
        few_clips = row.clips <= fitting.clips
        return bool(few_tokens and few_patches and few_clips)

    def is_of(self, row: Any) -> bool:
        """Tell whether a row has this very shape."""
        sizes = (row.tokens, row.patches, row.clips)
        return sizes == (self.tokens, self.patches, self.clips)

    @property
    def limits(self) -> RowLimits:
        """What clips may fill of it: one token is left, to which padding points."""
        return RowLimits(self.tokens - 1, self.patches, self.clips - 1)


def filled_up(values: Tensor, count: int, value: float) -> Tensor:
    """Lengthen a tensor to ``count`` rows that hold ``value``."""
    missing = count - len(values)
    shape = (missing, *values.shape[1:])
    rest = values.new_full(shape, value)
    return torch.cat([values, rest])


def indices_side_by_side(indices: Tensor, size: int) -> Tensor:
    """Count indices [K, n] into K rows of ``size`` each from the first row's start [K * n]."""
    rows = torch.arange(len(indices), device=indices.device, dtype=indices.dtype)
    row_starts = rows * size
    moved = indices + row_starts.unsqueeze(1)
    return moved.flatten()


def starts_side_by_side(starts: Tensor, tokens: int) -> Tensor:
    """Count the starts [K, C + 1] of clips in K rows from the first row's start [K * C + 1]."""
    own_starts = starts[:, :-1]
    moved = indices_side_by_side(own_starts, tokens)
    tokens_in_all = len(starts) * tokens
    end = starts.new_full((1,), tokens_in_all)
    return torch.cat([moved, end])


def fill_rows(sizes: Sequence[RowSize], limits: RowLimits) -> list[list[int]]:
    """Put clips into as few rows as first-fit decreasing finds.

    The longest clip comes first, and each goes into the first row that has room (Johnson 1973: at
    most 11/9 of the fewest rows that there could be, and one). A clip that is larger than the
    limits is a row of its own.

    Args:
        sizes: of the clips.
        limits: of a row.

    Returns:
        The clips' places in ``sizes``, row by row; no row is empty.
    """
    places = range(len(sizes))
    longest_first = sorted(places, key=lambda place: -sizes[place].tokens)
    rows: list[list[int]] = []
    filled: list[RowSize] = []
    for place in longest_first:
        clip = sizes[place]
        for number, row in enumerate(filled):
            tokens = row.tokens + clip.tokens
            patches = row.patches + clip.patches
            has_place = len(rows[number]) < limits.clips
            has_tokens = tokens <= limits.tokens
            has_patches = patches <= limits.patches
            if has_place and has_tokens and has_patches:
                rows[number].append(place)
                filled[number] = RowSize(tokens, patches)
                break
        else:
            rows.append([place])
            filled.append(clip)
    return rows


def clip_starts(lengths: Sequence[int]) -> Tensor:
    """Return where each clip of a row starts, and where the last one ends [C + 1], int32."""
    parts = torch.tensor([0, *lengths])
    ends = parts.cumsum(0)
    return ends.to(torch.int32)


def positions_of(lengths: Sequence[int]) -> Tensor:
    """Count the tokens of each clip from 0 [1, N]."""
    counted = []
    for length in lengths:
        counted.append(torch.arange(length))
    positions = torch.cat(counted)
    return positions.unsqueeze(0)

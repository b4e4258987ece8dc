"""Clips side by side in one row, each seen by nobody but itself.

Shapes: ``N`` tokens of a row, ``C`` clips, ``H`` heads, ``d`` size of a head.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention.varlen import varlen_attn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

CLIPWISE = "clipwise"
"""Name of :func:`clipwise_attention` among transformers' attention functions."""

NO_MASK = {"full_attention": None}
"""Keeps transformers from making a mask in every step."""

CAUSAL = (-1, 0)
"""FlashAttention's window that looks back without end and not ahead."""


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
        return bool(few_tokens and few_patches and row.clips <= fitting.clips)

    @property
    def limits(self) -> RowLimits:
        """What clips may fill of it: one token is left, which what is filled up points to."""
        return RowLimits(self.tokens - 1, self.patches, self.clips - 1)


def filled_up(values: Tensor, count: int, value: float) -> Tensor:
    """Lengthen a tensor to ``count`` rows that hold ``value``."""
    missing = count - len(values)
    rest = values.new_full((missing, *values.shape[1:]), value)
    return torch.cat([values, rest])


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
    longest_first = sorted(range(len(sizes)), key=lambda place: -sizes[place].tokens)
    rows: list[list[int]] = []
    filled: list[RowSize] = []
    for place in longest_first:
        clip = sizes[place]
        for number, row in enumerate(filled):
            tokens = row.tokens + clip.tokens
            patches = row.patches + clip.patches
            has_place = len(rows[number]) < limits.clips
            if has_place and tokens <= limits.tokens and patches <= limits.patches:
                rows[number].append(place)
                filled[number] = RowSize(tokens, patches)
                break
        else:
            rows.append([place])
            filled.append(clip)
    return rows


def clip_starts(lengths: Sequence[int]) -> Tensor:
    """Return where each clip of a row starts, and where the last one ends [C + 1], int32."""
    ends = torch.tensor([0, *lengths]).cumsum(0)
    return ends.to(torch.int32)


def positions_of(lengths: Sequence[int]) -> Tensor:
    """Count the tokens of each clip from 0 [1, N]."""
    counted = [torch.arange(length) for length in lengths]
    return torch.cat(counted).unsqueeze(0)


def clipwise_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    starts: Tensor | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Attend causally within each clip of a row.

    Without ``starts``, as in synthesis, this is transformers' own attention.

    Args:
        module: the layer.
        query: [1, H, N, d].
        key: as query, with H or fewer heads.
        value: as key.
        attention_mask: none for packed rows.
        dropout: share of the attention weights that is dropped.
        scaling: factor of the logits.
        starts: what :func:`clip_starts` returns, on the query's device.
        options: others of transformers' own attention.

    Returns:
        [1, N, H, d], and no weights.
    """
    if starts is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout, scaling, **options
        )
        return found
    if query.is_cuda:
        attended = _on_cuda(query, key, value, starts, dropout, scaling)
    else:
        attended = _clip_by_clip(query, key, value, starts, dropout, scaling)
    return attended, None


AttentionInterface.register(CLIPWISE, clipwise_attention)
AttentionMaskInterface.register(CLIPWISE, sdpa_mask)


@torch.compiler.disable
def _clip_by_clip(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    dropout: float,
    scaling: float | None,
) -> Tensor:
    """Attend to one clip after another: no product is taken of two clips' tokens."""
    lengths = starts.diff().tolist()
    parts = [tensor.split(lengths, 2) for tensor in (query, key, value)]
    attended = []
    for one_query, one_key, one_value in zip(*parts, strict=True):
        one = F.scaled_dot_product_attention(
            one_query,
            one_key,
            one_value,
            dropout_p=dropout,
            is_causal=True,
            scale=scaling,
            enable_gqa=True,
        )
        attended.append(one)
    return torch.cat(attended, 2).transpose(1, 2)


def _on_cuda(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    starts: Tensor,
    dropout: float,
    scaling: float | None,
) -> Tensor:
    """Attend with FlashAttention's kernels; with a mask where they lack the type or dropout."""
    if torch.is_autocast_enabled("cuda"):
        dtype = torch.get_autocast_dtype("cuda")
        query, key, value = (tensor.to(dtype) for tensor in (query, key, value))
    if query.dtype == torch.float32 or dropout > 0:
        masked = F.scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=_own_clip(starts, query.shape[2]),
            dropout_p=dropout,
            scale=scaling,
            enable_gqa=True,
        )
        return masked.transpose(1, 2)
    queries, keys, values = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    longest = query.shape[2]
    attended = varlen_attn(
        queries,  # [N, H, d]
        keys,
        values,
        starts,
        starts,
        longest,
        longest,
        scale=scaling,
        window_size=CAUSAL,
    )
    return cast(Tensor, attended).unsqueeze(0)


def _own_clip(starts: Tensor, tokens: int) -> Tensor:
    """Return which tokens each token sees [N, N]: those of its clip up to itself."""
    places = torch.arange(tokens, device=starts.device, dtype=starts.dtype)
    clips = torch.searchsorted(starts[1:].contiguous(), places, right=True)
    return (clips[:, None] == clips).tril()

"""Attention over clips side by side in one row, each seen by nobody but itself.

Shapes: ``N`` tokens of a row, ``C`` clips, ``H`` heads, ``d`` size of a head.
"""

from __future__ import annotations

from typing import Any, cast

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


def clipwise_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    starts: Tensor | None = None,
    longest: int | None = None,
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
        starts: what :func:`vibesweep.models.packing.clip_starts` returns, on the query's device.
        longest: tokens that no clip has more of; kernels are launched for clips of this length.
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
        most = longest or query.shape[2]
        attended = _on_cuda(query, key, value, starts, most, dropout, scaling)
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
    longest: int,
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

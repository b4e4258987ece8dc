"""In which type a trial computes, and in which the frozen base is kept.

A released checkpoint is stored in bf16. On a GPU its frozen weights stay so: in float32 they would
take twice the memory and be cast in every step. What a trial trains is float32 always.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import narrow
from vibesweep.models.speech_model import SpeechModel


def autocast(settings: TrialSettings, device: str) -> AbstractContextManager[Any]:
    """Return the context of a training forward pass; it may be entered again and again.

    Raises:
        ModelError: the device lacks the precision.
    """
    if settings.precision == "float32":
        return nullcontext()
    kind = torch.device(device).type
    if not _has_bf16(kind):
        raise ModelError(
            f"{device} does not compute in bf16", where="precision", fix="choose 'float32'"
        )
    return torch.autocast(kind, dtype=torch.bfloat16)


def _has_bf16(kind: str) -> bool:
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return kind == "cpu"


def on_device(base: SpeechModel, device: str) -> SpeechModel:
    """Move a base to a device, where a GPU keeps its weights in the type that they are stored in.

    A CPU keeps float32, in which it computes.
    """
    kind = torch.device(device).type
    if kind == "cuda" and base.stored_dtype == torch.bfloat16 and _has_bf16(kind):
        narrow(base)
    return base.to(device)


def validation_autocast(base: SpeechModel, device: str) -> AbstractContextManager[Any]:
    """Return the context in which all trials of a base are validated, whatever their precision."""
    dtypes = {part.dtype for part in base.parameters()}
    if torch.bfloat16 not in dtypes:
        return nullcontext()
    return torch.autocast(torch.device(device).type, dtype=torch.bfloat16)

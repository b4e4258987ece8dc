"""What libraries raise when they are given a model's files that they cannot use."""

from __future__ import annotations

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

UNUSABLE = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SafetensorError,
    StrictDataclassError,
    TypeError,
    ValueError,
)
"""Raised by transformers, torch and safetensors for a description with a value of another type, a
size below one or beyond all memory, or JSON that is nested too deeply."""

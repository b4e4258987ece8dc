"""Checkpoints of another repository's layout, written in the one that a family reads."""

from __future__ import annotations

from pathlib import Path


def convert_checkpoint(address: str, out: Path, tokenizer: str | None = None) -> None:
    """Write a VibeVoice checkpoint of the original repository's layout in transformers' layout.

    Args:
        address: its folder or hub id.
        out: the folder to write.
        tokenizer: folder or hub id of Qwen2.5's tokenizer; None for the one that the checkpoint
            names.

    Raises:
        ModelError: it cannot be read or is of another layout, there is no tokenizer, or ``out`` is
            there already.
    """
    from vibesweep.models.vibevoice.checkpoint.convert import convert

    convert(address, out, tokenizer)

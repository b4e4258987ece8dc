"""Clip encoders that tests preprocess with."""

from __future__ import annotations

from pathlib import Path

from vibesweep.config import MelSettings
from vibesweep.corpus.clip_encoder import ClipEncoder
from vibesweep.models.mel.encoder import MelEncoder
from vibesweep.models.registry import ModelRef
from vibesweep.models.vibevoice.encoder import VibeVoiceEncoder

MEL_ENCODER = MelEncoder(MelSettings(), "en-us")
"""The encoder of ``mel-small``."""


def encoder_of(name: str, language: str = "en-us") -> ClipEncoder:
    """Make the clip encoder of a model by its name."""
    model = ModelRef.parse(name)
    return model.family.clip_encoder(model.address, language)


def vibevoice_encoder(checkpoint: Path) -> VibeVoiceEncoder:
    """Make the clip encoder of a checkpoint's folder."""
    encoder = encoder_of(f"vibevoice:{checkpoint}")
    assert isinstance(encoder, VibeVoiceEncoder)
    return encoder

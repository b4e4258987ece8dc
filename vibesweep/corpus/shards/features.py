"""What the frozen encoders of a checkpoint make of a clip, and what an encoder is to those who make shards. No torch, no ray.

Shapes: ``S`` samples at 24 kHz, ``T`` latents (one for every 3,200 samples, the last one padded), ``D`` acoustic and ``E`` semantic size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load, save

from vibesweep.config import CorpusSettings
from vibesweep.errors import ModelError

SILENCE_S = 2.0
"""How much silence is kept beside the shards, for those who put some before or behind a clip: 15 latents."""

Half = npt.NDArray[np.float16]
Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Features:
    """A clip as its encoders hear it, in half precision: means without noise, and not scaled.

    Attributes:
        acoustic: [T, D].
        semantic: [T, E].
    """

    acoustic: Half
    semantic: Half

    def to_bytes(self) -> bytes:
        """As safetensors."""
        return save({"acoustic": self.acoustic, "semantic": self.semantic})

    @classmethod
    def from_bytes(cls, content: bytes) -> Features:
        """The features of such bytes."""
        found = load(content)
        return cls(found["acoustic"], found["semantic"])


class OpenEncoder(Protocol):
    """An encoder with its weights in memory."""

    def encode(self, samples: Samples) -> Features:
        """Encode a clip [S], which may have any level: it is brought to the one that the encoders know."""

    def count_tokens(self, turns: Sequence[tuple[str, str]]) -> int:
        """How many ids stand before the speech of a clip of these (person, text) turns, where no voice is prompted."""


class FeatureEncoder(Protocol):
    """An encoder by its name: little enough to be sent to those who open it."""

    @property
    def name(self) -> str:
        """Of the model, as the user would name it; a path in it is absolute."""

    @property
    def fingerprint(self) -> str:
        """Of its weights: models with an equal one can be trained with each other's features."""

    @property
    def recipe(self) -> str:
        """Of all else that the columns depend on, such as the level and the tokenizer."""

    @property
    def sample_rate_hz(self) -> int:
        """Of the samples that it takes."""

    @property
    def hop_samples(self) -> int:
        """Samples a latent."""

    @property
    def latent_size(self) -> int:
        """Of an acoustic latent."""

    @property
    def semantic_size(self) -> int:
        """Of a semantic one."""

    def open(self, device: str) -> OpenEncoder:
        """Read the weights.

        Args:
            device: ``cpu`` or ``cuda``.

        Raises:
            ModelError: they cannot be read.
        """


def identity_of(encoder: FeatureEncoder | None) -> str:
    """Of all that an encoder adds to a clip's row, as one text: an equal one means that it need not be encoded again."""
    return "" if encoder is None else f"{encoder.fingerprint} {encoder.recipe}"


def silence_file(encoder: FeatureEncoder) -> str:
    """Name of the file, beside the shards, with the features of silence."""
    return f"silence-{hashlib.sha256(identity_of(encoder).encode()).hexdigest()[:12]}.safetensors"


def check_rate(encoder: FeatureEncoder | None, settings: CorpusSettings) -> None:
    """Refuse an encoder of another sample rate than that of the corpus's settings.

    Raises:
        ModelError: it is of another one.
    """
    rate_hz = settings.mel.sample_rate_hz
    if encoder is not None and encoder.sample_rate_hz != rate_hz:
        found = f"its encoders take {encoder.sample_rate_hz} Hz, the corpus is read at {rate_hz} Hz"
        raise ModelError(
            found, where=encoder.name, fix=f"read the corpus at {encoder.sample_rate_hz} Hz"
        )

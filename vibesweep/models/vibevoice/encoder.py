"""The columns of the family ``vibevoice``: tokens of the script, acoustic and semantic latents.

They are made by a checkpoint's own tokenizer and by its two frozen encoders, once, when the shards
are made. Neither the language model nor the decoder is read.

Shapes: ``T`` latents, ``D`` acoustic and ``E`` semantic size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from vibesweep.corpus.clip_encoder import ClipEncoder, TextEncoder, TurnReading
from vibesweep.corpus.shards.schema import ARRAY, Columns
from vibesweep.corpus.shards.statistics import Moments, added_up
from vibesweep.corpus.text.length import spoken_length
from vibesweep.corpus.text.scripts import language_of
from vibesweep.errors import ModelError
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.sound_encoder import (
    VibeVoiceSounds,
    encoder_configs,
    feature_extractor,
)
from vibesweep.models.vibevoice.text import TextLayout

ACOUSTIC = "acoustic"
SEMANTIC = "semantic"
BYTES_PER_VALUE = 2
HASH_CHARACTERS = 32

COLUMNS = Columns(
    clip=(pa.field(ACOUSTIC, ARRAY), pa.field(SEMANTIC, ARRAY)),  # T x D, T x E
    prompt=(pa.field(ACOUSTIC, ARRAY),),
)
RECIPE_FILES = (
    "preprocessor_config.json",
    "processor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)
"""Files that decide on level, tokens and script; a checkpoint need not have all of them."""


@dataclass(frozen=True, kw_only=True)
class VibeVoiceEncoder(ClipEncoder):
    """The family's clip encoder; see :class:`vibesweep.corpus.clip_encoder.ClipEncoder`.

    Attributes:
        address: of the checkpoint.
        language: what texts without Han characters are in.
        weights_hash: of the encoders: checkpoints with an equal one share their features.
        recipe_hash: of all else that the columns depend on, such as the level and the tokenizer.
        sample_rate_hz: of the sounds it takes.
        hop_samples: samples of a latent.
        latent_size: ``D``.
        semantic_size: ``E``.
    """

    address: str
    language: str
    weights_hash: str
    recipe_hash: str
    sample_rate_hz: int
    hop_samples: int
    latent_size: int
    semantic_size: int

    family = "vibevoice"
    columns = COLUMNS
    wants_gpu = True

    @classmethod
    def of(cls, address: str, language: str) -> VibeVoiceEncoder:
        """Look at a checkpoint and its tokenizer; no weights are read.

        Raises:
            ModelError: it cannot be used.
        """
        checkpoint = Checkpoint.open(address)
        acoustic, semantic = encoder_configs(checkpoint)
        if acoustic.hop_length != semantic.hop_length:
            found = (
                f"its acoustic latents are of {acoustic.hop_length} samples,"
                f" its semantic ones of {semantic.hop_length}"
            )
            fix = "name a checkpoint whose two encoders have one rate"
            raise ModelError(found, where=str(checkpoint.folder), fix=fix)
        # Here, not hours later in the first worker
        TextLayout.load(checkpoint.folder, checkpoint.config)
        return cls(
            address=address,
            language=language,
            weights_hash=checkpoint.fingerprint,
            recipe_hash=_recipe_hash(checkpoint.folder),
            sample_rate_hz=feature_extractor(checkpoint.folder).sampling_rate,
            hop_samples=acoustic.hop_length,
            latent_size=acoustic.hidden_size,
            semantic_size=semantic.hidden_size,
        )

    @property
    def name(self) -> str:
        """The checkpoint's name with the family's scheme."""
        return f"{self.family}:{self.address}"

    @property
    def fingerprint(self) -> str:
        """Hash of weights, recipe and language."""
        content = f"{self.weights_hash} {self.recipe_hash} {self.language}"
        return hashlib.sha256(content.encode()).hexdigest()[:HASH_CHARACTERS]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Which encoders made the latents, and their sizes."""
        return {
            "encoders": self.weights_hash,
            "latent_size": self.latent_size,
            "semantic_size": self.semantic_size,
            "hop_samples": self.hop_samples,
        }

    @property
    def summary(self) -> str:
        """The settings in a few words."""
        return (
            f"{self.latent_size} acoustic and {self.semantic_size} semantic numbers"
            f" every {self.hop_samples} samples"
        )

    @property
    def picture(self) -> tuple[str, int]:
        """A clip is drawn by its acoustic latents."""
        return ACOUSTIC, self.latent_size

    @property
    def bytes_per_patch(self) -> int:
        """Bytes of both latents in half precision."""
        return (self.latent_size + self.semantic_size) * BYTES_PER_VALUE

    @property
    def sidecar_file(self) -> str:
        """Name of the file with the features of silence."""
        return f"sidecar-{self.fingerprint[:12]}.safetensors"

    def open_text(self) -> ScriptReader:
        """Load the tokenizer.

        Raises:
            ModelError: it cannot be read.
        """
        checkpoint = Checkpoint.open(self.address)
        layout = TextLayout.load(checkpoint.folder, checkpoint.config)
        return ScriptReader(layout, self.language)

    def open_sound(self, device: str) -> VibeVoiceSounds:
        """Load the weights of both encoders.

        Raises:
            ModelError: they cannot be read.
        """
        return VibeVoiceSounds(Checkpoint.open(self.address), device)

    def measure(self, clips: pa.Table) -> Mapping[str, Moments]:
        """Measure all values of all acoustic latents as one column."""
        moments = []
        for clip in clips[ACOUSTIC]:
            values = np.frombuffer(clip.as_buffer(), "<f2")
            moments.append(Moments.of(values.reshape(-1, 1)))
        return {ACOUSTIC: added_up(moments)}


class ScriptReader(TextEncoder):
    """Reads texts as a checkpoint's tokenizer does; no phonemizer is needed."""

    def __init__(self, layout: TextLayout, language: str) -> None:
        """Count tokens by this layout."""
        self._layout = layout
        self._language = language

    def read(self, texts: Sequence[str]) -> list[TurnReading]:
        """Estimate how much is said in each text."""
        readings = []
        for text in texts:
            language = language_of(text, self._language)
            readings.append(TurnReading(spoken_length(text), language))
        return readings

    def count_tokens(self, turns: Sequence[tuple[str, str, TurnReading]]) -> int:
        """Count the tokens before the speech, without voice prompts."""
        people = list(dict.fromkeys(person for person, _, _ in turns))
        script = [(people.index(person), text) for person, text, _ in turns]
        return len(self._layout.bare(script))


def _recipe_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in RECIPE_FILES:
        file = folder / name
        if file.is_file():
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{name} {content} ".encode())
    return digest.hexdigest()[:HASH_CHARACTERS]

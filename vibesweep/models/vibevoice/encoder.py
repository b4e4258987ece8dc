"""The two frozen encoders of a VibeVoice checkpoint, which hear a corpus once, when its shards are made.

They run in float32, also on a GPU: 16-bit activations, and the TF32 that cuDNN takes for convolutions, would move the latents by more
than the half precision that they are kept in. Neither the language model nor the decoder is read.

Shapes: ``S`` samples, a whole number of hops, ``L`` latents, ``D`` acoustic and ``E`` semantic size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor
from transformers import (
    VibeVoiceAcousticTokenizerEncoderModel,
    VibeVoiceAcousticTokenizerFeatureExtractor,
)
from transformers.models.vibevoice_acoustic_tokenizer.modeling_vibevoice_acoustic_tokenizer import (
    VibeVoiceAcousticTokenizerConv1dPaddingCache,
)

from vibesweep.corpus.shards.features import Features, Samples
from vibesweep.errors import ModelError, ResourceError
from vibesweep.models.vibevoice.checkpoint import ENCODERS, Checkpoint
from vibesweep.models.vibevoice.text import TextLayout

CHUNK_LATENTS = 450
"""A minute at a time: the first layers of an encoder of the 1.5B's size then take 2.2 GB."""
LEAST_CHUNK_LATENTS = 7
RECIPE_FILES = (
    *(
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "merges.txt",
    ),
    "chat_template.jinja",
)
"""What a checkpoint's level, tokens and script come from, as far as each is there."""


@dataclass(frozen=True)
class VibeVoiceEncoder:
    """A checkpoint's encoders by name, as :class:`vibesweep.corpus.shards.features.FeatureEncoder` tells."""

    name: str
    fingerprint: str
    recipe: str
    sample_rate_hz: int
    hop_samples: int
    latent_size: int
    semantic_size: int

    @classmethod
    def of(cls, name: str) -> VibeVoiceEncoder:
        """Look at the checkpoint of a located name, and at its tokenizer; no weights are read.

        Raises:
            ModelError: it cannot be used.
        """
        checkpoint = _checkpoint(name)
        audio, semantic = _configs(checkpoint)
        if audio.hop_length != semantic.hop_length:
            found = f"its acoustic latents are of {audio.hop_length} samples, its semantic ones of {semantic.hop_length}"
            raise ModelError(
                found,
                where=str(checkpoint.folder),
                fix="name a checkpoint whose two encoders have one rate",
            )
        TextLayout.load(
            checkpoint.folder, checkpoint.config
        )  # here, not hours later in the first worker
        return cls(
            name=name,
            fingerprint=checkpoint.fingerprint,
            recipe=_recipe(checkpoint.folder),
            sample_rate_hz=_extractor(checkpoint.folder).sampling_rate,
            hop_samples=audio.hop_length,
            latent_size=audio.hidden_size,
            semantic_size=semantic.hidden_size,
        )

    def open(self, device: str) -> OpenVibeVoiceEncoder:
        """Read the weights of both encoders.

        Raises:
            ModelError: they cannot be read.
        """
        return OpenVibeVoiceEncoder(_checkpoint(self.name), device)


class OpenVibeVoiceEncoder:
    """A checkpoint's encoders in memory."""

    def __init__(
        self, checkpoint: Checkpoint, device: str, chunk_latents: int = CHUNK_LATENTS
    ) -> None:
        """Read them.

        Args:
            checkpoint: whose they are.
            device: that they run on.
            chunk_latents: how much is encoded at once; less, once the device's memory has not held it.

        Raises:
            ModelError: weights, feature extractor or tokenizer cannot be read.
        """
        self._where, self._device, self._chunk_latents = (
            str(checkpoint.folder),
            device,
            chunk_latents,
        )
        self._extractor = _extractor(checkpoint.folder)
        self._layout = TextLayout.load(checkpoint.folder, checkpoint.config)
        configs = _configs(checkpoint)
        self._hop_samples = configs[0].hop_length
        self._acoustic, self._semantic = (
            _encoder(config, checkpoint, prefix).to(device)
            for config, prefix in zip(configs, ENCODERS, strict=True)
        )

    @torch.no_grad()
    def encode(self, samples: Samples) -> Features:
        """Encode a clip of any level: the feature extractor of the checkpoint levels it, and pads it with zeros to whole latents.

        Raises:
            ModelError: the encoders' outcome is not finite.
            ResourceError: the device's memory does not hold a second of sound.
        """
        # Mono and 1-D, so that the extractor's list holds one clip
        values = self._extractor(
            [samples],
            sampling_rate=self._extractor.sampling_rate,
            pad_to_multiple_of=self._hop_samples,
        )["input_values"]
        acoustic, semantic = (
            self._latents(encoder, values).half().cpu()
            for encoder in (self._acoustic, self._semantic)
        )
        if not (acoustic.isfinite().all() and semantic.isfinite().all()):
            found = f"its encoders' latents of a clip of {len(samples) / self._extractor.sampling_rate:.1f} s are not finite"
            raise ModelError(found, where=self._where, fix="download or copy the checkpoint again")
        return Features(acoustic.numpy(), semantic.numpy())

    def count_tokens(self, turns: Sequence[tuple[str, str]]) -> int:
        """How many ids stand before the speech of (person, text) turns, where no voice is prompted."""
        people = list(dict.fromkeys(person for person, _ in turns))
        return len(self._layout.bare([(people.index(person), text) for person, text in turns]))

    def _latents(self, encoder: Any, values: Tensor) -> Tensor:
        """Latents [L, D or E] of [1, 1, S]: in smaller chunks, from here on, where the device's memory does not hold these."""
        while True:
            try:
                return self._in_chunks(encoder, values)
            except torch.OutOfMemoryError as error:
                if self._chunk_latents <= LEAST_CHUNK_LATENTS:
                    found = f"{self._device} has no memory for its encoders and a second of sound"
                    raise ResourceError(
                        found,
                        where=self._where,
                        fix="end what else holds the device, or take a larger one",
                    ) from error
                self._chunk_latents = max(self._chunk_latents // 2, LEAST_CHUNK_LATENTS)

    def _in_chunks(self, encoder: Any, values: Tensor) -> Tensor:
        """The encoder is causal: with what its convolutions saw last in the cache, a chunk comes out as it would in the whole."""
        cache = VibeVoiceAcousticTokenizerConv1dPaddingCache()
        # cuDNN's float32 convolutions of these shapes took 70 GB and five times as long (docs/design/vibevoice.md)
        with torch.backends.cudnn.flags(enabled=False):
            found = [
                encoder(chunk.to(self._device), padding_cache=cache, use_cache=True).latents[0]
                for chunk in values.split(self._chunk_latents * self._hop_samples, dim=-1)
            ]
        return torch.cat(found)


def _checkpoint(name: str) -> Checkpoint:
    return Checkpoint.open(name.partition(":")[2])


def _configs(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Of the acoustic and the semantic encoder."""
    config: Any = checkpoint.config
    return config.audio_config.encoder_config, config.semantic_model_config


def _encoder(config: Any, checkpoint: Checkpoint, prefix: str) -> torch.nn.Module:
    with torch.device("meta"):
        encoder = VibeVoiceAcousticTokenizerEncoderModel(config)
    encoder.load_state_dict(
        {name: tensor.float() for name, tensor in checkpoint.tensors(prefix).items()}, assign=True
    )
    return cast(torch.nn.Module, encoder.requires_grad_(False).eval())


def _extractor(folder: Path) -> Any:
    try:
        return VibeVoiceAcousticTokenizerFeatureExtractor.from_pretrained(folder)
    except (OSError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        fix = "download the checkpoint again, with its processor_config.json or preprocessor_config.json"
        raise ModelError(
            f"its feature extractor cannot be read: {reason}", where=str(folder), fix=fix
        ) from error


def _recipe(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in (folder / name for name in RECIPE_FILES if (folder / name).is_file()):
        digest.update(f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()} ".encode())
    return digest.hexdigest()[:32]

"""The two frozen encoders of a VibeVoice checkpoint, in memory.

They run in float32, also on a GPU: 16-bit activations, and the TF32 that cuDNN takes for
convolutions, would move the latents by more than the half precision that they are kept in.

Shapes: ``S`` samples (a whole number of hops), ``T`` latents, ``D`` acoustic and ``E`` semantic
size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import (
    VibeVoiceAcousticTokenizerEncoderModel,
    VibeVoiceAcousticTokenizerFeatureExtractor,
)
from transformers.models.vibevoice_acoustic_tokenizer.modeling_vibevoice_acoustic_tokenizer import (
    VibeVoiceAcousticTokenizerConv1dPaddingCache,
)

from vibesweep.corpus.clip_encoder import EncodedSound, SoundEncoder
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.errors import ModelError, ResourceError
from vibesweep.models.library_errors import UNUSABLE
from vibesweep.models.vibevoice.checkpoint import ENCODERS, Checkpoint
from vibesweep.models.vibevoice.checkpoint.locate import reason_of
from vibesweep.models.vibevoice.features import SILENCE_S, Features

CHUNK_LATENTS = 450
"""A minute at a time: the first layers of an encoder of the 1.5B's size then take 2.2 GB."""
LEAST_CHUNK_LATENTS = 7


class VibeVoiceSounds(SoundEncoder):
    """Encodes sounds with a checkpoint's encoders."""

    def __init__(
        self, checkpoint: Checkpoint, device: str, chunk_latents: int = CHUNK_LATENTS
    ) -> None:
        """Load the encoders.

        Args:
            checkpoint: whose they are.
            device: that they run on.
            chunk_latents: how much is encoded at once; less, once the device's memory has not held
                it.

        Raises:
            ModelError: weights or feature extractor cannot be read.
        """
        self._where = str(checkpoint.folder)
        self._device = device
        self._chunk_latents = chunk_latents
        self._extractor = feature_extractor(checkpoint.folder)
        acoustic, semantic = encoder_configs(checkpoint)
        acoustic_prefix, semantic_prefix = ENCODERS
        self._hop_samples = acoustic.hop_length
        self._acoustic = _load_encoder(acoustic, checkpoint, acoustic_prefix).to(device)
        self._semantic = _load_encoder(semantic, checkpoint, semantic_prefix).to(device)

    def encode(self, samples: Samples) -> EncodedSound:
        """Encode a sound [S] of any level."""
        features = self.features(samples)
        columns = {
            "acoustic": features.acoustic.tobytes(),
            "semantic": features.semantic.tobytes(),
        }
        return EncodedSound(len(features.acoustic), columns)

    def sidecar(self) -> bytes:
        """Encode some silence, for trials that speak it before or after a clip."""
        samples = round(SILENCE_S * self._extractor.sampling_rate)
        return self.features(np.zeros(samples, np.float32)).to_bytes()

    @torch.no_grad()
    def features(self, samples: Samples) -> Features:
        """Encode a sound: the checkpoint's extractor levels it and pads it to whole latents.

        Raises:
            ModelError: the encoders' outcome is not finite.
            ResourceError: the device's memory does not hold a second of sound.
        """
        # Mono and 1-D, so that the extractor's list holds one clip
        inputs = self._extractor(
            [samples],
            sampling_rate=self._extractor.sampling_rate,
            pad_to_multiple_of=self._hop_samples,
        )
        values = inputs["input_values"]
        acoustic = self._latents(self._acoustic, values).half().cpu()
        semantic = self._latents(self._semantic, values).half().cpu()
        is_finite = acoustic.isfinite().all() and semantic.isfinite().all()
        if not is_finite:
            seconds = len(samples) / self._extractor.sampling_rate
            found = f"its encoders' latents of a clip of {seconds:.1f} s are not finite"
            fix = "download or copy the checkpoint again"
            raise ModelError(found, where=self._where, fix=fix)
        return Features(acoustic.numpy(), semantic.numpy())

    def _latents(self, encoder: Any, values: Tensor) -> Tensor:
        """Encode [1, 1, S] to [T, D or E], in smaller chunks where memory does not hold these.

        Chunks stay small from then on.
        """
        while True:
            try:
                return self._in_chunks(encoder, values)
            except torch.OutOfMemoryError as error:
                if self._chunk_latents <= LEAST_CHUNK_LATENTS:
                    found = f"{self._device} has no memory for its encoders and a second of sound"
                    fix = "end what else holds the device, or take a larger one"
                    raise ResourceError(found, where=self._where, fix=fix) from error
                self._chunk_latents = max(self._chunk_latents // 2, LEAST_CHUNK_LATENTS)

    def _in_chunks(self, encoder: Any, values: Tensor) -> Tensor:
        """Encode chunk by chunk.

        The encoder is causal: with what its convolutions saw last in the cache, a chunk comes out
        as it would in the whole.
        """
        cache = VibeVoiceAcousticTokenizerConv1dPaddingCache()
        found = []
        chunk_samples = self._chunk_latents * self._hop_samples
        # cuDNN's float32 convolutions of these shapes took 70 GB and five times as long
        # (docs/design/vibevoice.md)
        with torch.backends.cudnn.flags(enabled=False):
            for chunk in values.split(chunk_samples, dim=-1):
                output = encoder(chunk.to(self._device), padding_cache=cache, use_cache=True)
                found.append(output.latents[0])
        return torch.cat(found)


def encoder_configs(checkpoint: Checkpoint) -> tuple[Any, Any]:
    """Take the configurations of the acoustic and the semantic encoder."""
    config: Any = checkpoint.config
    return config.audio_config.encoder_config, config.semantic_model_config


def feature_extractor(folder: Path) -> Any:
    """Load a checkpoint's feature extractor.

    Raises:
        ModelError: it cannot be read.
    """
    try:
        return VibeVoiceAcousticTokenizerFeatureExtractor.from_pretrained(folder)
    except UNUSABLE as error:
        found = f"its feature extractor cannot be read: {reason_of(error)}"
        fix = (
            "download the checkpoint again, with its processor_config.json"
            " or preprocessor_config.json"
        )
        raise ModelError(found, where=str(folder), fix=fix) from error


def _load_encoder(config: Any, checkpoint: Checkpoint, prefix: str) -> torch.nn.Module:
    with torch.device("meta"):
        encoder = VibeVoiceAcousticTokenizerEncoderModel(config)
    weights = {name: tensor.float() for name, tensor in checkpoint.tensors(prefix).items()}
    encoder.load_state_dict(weights, assign=True)
    return cast(torch.nn.Module, encoder.requires_grad_(False).eval())

"""Tensor names of VibeVoice's original layout and of transformers' layout, each from the other.

microsoft/VibeVoice and vibevoice-community/VibeVoice read and write the original layout;
``VibeVoiceForConditionalGeneration`` reads and writes transformers'. Only names differ: the weights
are the same to the bit. Where a name holds a layer number, the two layouts count alike, or the
original counts one higher: its first convolution is layer 0, and transformers calls it the stem.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from vibesweep.errors import ModelError

# Each pair is how a name begins in the original layout, and how it begins in transformers'
_SAME = (("", ""),)
_BLOCKS = (
    ("stages.0.<n>.mixer.conv.conv.conv.", "stem.stage.<n>.mixer.conv."),
    ("stages.0.<n>.", "stem.stage.<n>."),
    ("stages.<n+1>.<n>.mixer.conv.conv.conv.", "conv_layers.<n>.stage.<n>.mixer.conv."),
    ("stages.<n+1>.<n>.", "conv_layers.<n>.stage.<n>."),
    ("head.conv.", "head."),
)
_ENCODER = (
    ("downsample_layers.0.0.conv.", "stem.conv."),
    ("downsample_layers.<n+1>.0.conv.", "conv_layers.<n>.conv."),
    *_BLOCKS,
)
_DECODER = (
    ("upsample_layers.0.0.conv.", "stem.conv."),
    ("upsample_layers.<n+1>.0.convtr.", "conv_layers.<n>.convtr."),
    *_BLOCKS,
)
_CONNECTOR = (("fc1.", "linear_1."), ("norm.", "act."), ("fc2.", "linear_2."))
_HEAD = (
    ("t_embedder.mlp.0.", "timestep_proj.fc1."),
    ("t_embedder.mlp.2.", "timestep_proj.fc2."),
    ("layers.<n>.adaLN_modulation.1.", "layers.<n>.linear."),
    ("layers.<n>.", "layers.<n>."),
    ("final_layer.adaLN_modulation.1.", "final_layer.linear_1."),
    ("final_layer.linear.", "final_layer.linear_2."),
    ("noisy_images_proj.", "noisy_images_proj."),
    ("cond_proj.", "cond_proj."),
)
_MODULES = (
    ("model.acoustic_tokenizer.encoder.", "model.audio_tower.encoder.", _ENCODER),
    ("model.acoustic_tokenizer.decoder.", "model.audio_tower.decoder.", _DECODER),
    ("model.semantic_tokenizer.encoder.", "model.semantic_tokenizer_encoder.", _ENCODER),
    ("model.acoustic_connector.", "model.multi_modal_projector.", _CONNECTOR),
    ("model.semantic_connector.", "model.semantic_connector.", _CONNECTOR),
    ("model.prediction_head.", "model.diffusion_head.", _HEAD),
    ("model.speech_scaling_factor", "model.latent_scaling_factor", _SAME),
    ("model.speech_bias_factor", "model.latent_bias_factor", _SAME),
    ("model.language_model.", "model.language_model.", _SAME),
    ("lm_head.", "lm_head.", _SAME),
)

_NUMBER = re.compile(r"<n(\+1)?>")


@dataclass(frozen=True)
class _Prefix:
    """How a name begins; ``<n>`` and ``<n+1>`` stand for layer numbers."""

    text: str

    @cached_property
    def regex(self) -> re.Pattern[str]:
        escaped = re.escape(self.text)
        escaped = escaped.replace(re.escape("<n+1>"), r"([1-9]\d*)")
        escaped = escaped.replace(re.escape("<n>"), r"(\d+)")
        return re.compile(escaped)

    @cached_property
    def offsets(self) -> list[int]:
        """For each number in the name, how much higher it is than ``n``."""
        return [1 if number[1] else 0 for number in _NUMBER.finditer(self.text)]

    def parse(self, name: str) -> tuple[list[int], str] | None:
        """Return each ``n`` and the rest of the name; ``None`` if the name begins otherwise."""
        match = self.regex.match(name)
        if match is None:
            return None
        numbers = [
            int(digits) - offset
            for digits, offset in zip(match.groups(), self.offsets, strict=True)
        ]
        return numbers, name[match.end() :]

    def format(self, numbers: Sequence[int], rest: str) -> str:
        """Return the name with these ``n`` and this rest."""
        text = self.text
        for number, offset in zip(numbers, self.offsets, strict=True):
            text = _NUMBER.sub(str(number + offset), text, count=1)
        return text + rest


_ORIGINAL_TO_TRANSFORMERS = [
    (_Prefix(module + inner), _Prefix(their_module + their_inner))
    for module, their_module, rules in _MODULES
    for inner, their_inner in rules
]
_TRANSFORMERS_TO_ORIGINAL = [(theirs, original) for original, theirs in _ORIGINAL_TO_TRANSFORMERS]


def to_transformers(name: str) -> str:
    """Return transformers' name of a tensor, from the original layout's.

    Raises:
        ModelError: VibeVoice has no tensor of this name.
    """
    return _renamed(name, _ORIGINAL_TO_TRANSFORMERS)


def to_original(name: str) -> str:
    """Return the original layout's name of a tensor, from transformers'.

    Raises:
        ModelError: VibeVoice has no tensor of this name.
    """
    return _renamed(name, _TRANSFORMERS_TO_ORIGINAL)


def _renamed(name: str, rules: Sequence[tuple[_Prefix, _Prefix]]) -> str:
    for source, target in rules:
        parsed = source.parse(name)
        if parsed is not None:
            numbers, rest = parsed
            return target.format(numbers, rest)
    raise ModelError(
        f"there is no tensor {name} in VibeVoice",
        where=name,
        fix="use a checkpoint of VibeVoice 1.5B or 7B, or of a fine-tuning",
    )

"""VibeVoice's two layouts of one checkpoint: the original's tensor names, and transformers'.

The original is what microsoft/VibeVoice and vibevoice-community/VibeVoice write and read; transformers' is what
``VibeVoiceForConditionalGeneration`` does. Weights are the same to the bit: only names differ. Where a number stands in a name, the two
count alike, or the original is one ahead, since its first convolution is layer 0 and transformers calls that one the stem.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from vibesweep.errors import ModelError

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
_PARTS = (
    ("model.acoustic_tokenizer.encoder.", "model.audio_tower.encoder.", _ENCODER),
    ("model.acoustic_tokenizer.decoder.", "model.audio_tower.decoder.", _DECODER),
    ("model.semantic_tokenizer.encoder.", "model.semantic_tokenizer_encoder.", _ENCODER),
    ("model.acoustic_connector.", "model.multi_modal_projector.", _CONNECTOR),
    ("model.semantic_connector.", "model.semantic_connector.", _CONNECTOR),
    ("model.prediction_head.", "model.diffusion_head.", _HEAD),
    ("model.speech_scaling_factor", "model.latent_scaling_factor", (("", ""),)),
    ("model.speech_bias_factor", "model.latent_bias_factor", (("", ""),)),
    ("model.language_model.", "model.language_model.", (("", ""),)),
    ("lm_head.", "lm_head.", (("", ""),)),
)
_NUMBER = re.compile(r"<n(\+1)?>")


@dataclass(frozen=True)
class _Pattern:
    """The beginning of a name, with ``<n>`` and ``<n+1>`` for its numbers."""

    text: str

    @cached_property
    def regex(self) -> re.Pattern[str]:
        written = (
            re.escape(self.text)
            .replace(re.escape("<n+1>"), r"([1-9]\d*)")
            .replace(re.escape("<n>"), r"(\d+)")
        )
        return re.compile(written)

    def read(self, name: str) -> tuple[list[int], str] | None:
        """The numbers, and the rest of the name; nothing where it begins otherwise."""
        if (found := self.regex.match(name)) is None:
            return None
        shifts = [bool(number[1]) for number in _NUMBER.finditer(self.text)]
        return [
            int(digits) - shift for digits, shift in zip(found.groups(), shifts, strict=True)
        ], name[found.end() :]

    def write(self, numbers: Iterable[int], rest: str) -> str:
        left = iter(numbers)
        return _NUMBER.sub(lambda number: str(next(left) + bool(number[1])), self.text) + rest


_RULES = [
    (_Pattern(a + own_a), _Pattern(b + own_b)) for a, b, rules in _PARTS for own_a, own_b in rules
]


def to_transformers(name: str) -> str:
    """The transformers name of a tensor of the original.

    Raises:
        ModelError: no tensor of VibeVoice's is called that.
    """
    return _renamed(name, _RULES)


def to_original(name: str) -> str:
    """The original's name of a tensor of transformers'.

    Raises:
        ModelError: no tensor of VibeVoice's is called that.
    """
    return _renamed(name, [(ours, original) for original, ours in _RULES])


def _renamed(name: str, rules: Iterable[tuple[_Pattern, _Pattern]]) -> str:
    for source, target in rules:
        if (found := source.read(name)) is not None:
            return target.write(*found)
    raise ModelError(
        f"there is no tensor {name} in VibeVoice",
        where=name,
        fix="use a checkpoint of VibeVoice 1.5B or 7B, or of a fine-tuning",
    )


def as_transformers(names: Iterable[str]) -> dict[str, str]:
    """The transformers name of each tensor of the original, by the original's.

    Raises:
        ModelError: a name is not VibeVoice's.
    """
    return {name: to_transformers(name) for name in names}

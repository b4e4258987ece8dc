"""Sizes of a ``mel`` network and the fixed parts of its objective."""

from __future__ import annotations

from dataclasses import dataclass

from vibesweep.config.checks import (
    AT_LEAST_ONE,
    AT_LEAST_ZERO,
    FROM_ZERO_TO_ONE,
    Ranges,
    check_ranges,
    check_types,
)

SIZES = (
    "hidden_size",
    "layers",
    "heads",
    "kv_heads",
    "ffn_size",
    "head_layers",
    "latent_size",
    "max_positions",
    "noise_repeats",
    "prompt_patches",
)
RANGES: Ranges = (
    (AT_LEAST_ONE, SIZES),
    (FROM_ZERO_TO_ONE, ("prompt_drop", "condition_drop")),
    (AT_LEAST_ZERO, ("input_noise",)),
)


@dataclass(frozen=True)
class MelShape:
    """Sizes and odds of a network. The defaults are 7.6 M parameters with a hundred phonemes.

    Attributes:
        hidden_size: ``H``.
        layers: layers of the Qwen2 backbone.
        heads: attention heads.
        kv_heads: key and value heads.
        ffn_size: size of the backbone's and the head's feed-forward layers.
        head_layers: AdaLN layers of the diffusion head.
        latent_size: ``D``.
        max_positions: longest sequence.
        objective: ``flow`` or ``v``.
        noise_repeats: ``R``, noised copies of each latent in a step (VibeVoice: 4).
        prompt_patches: longest voice prompt; 15 are two seconds.
        prompt_drop: how often a speaker's prompt is left out in training.
        condition_drop: how often a condition is zeroed in training, for guidance.
        input_noise: spread of the noise on the latents that the backbone reads in training, so that
            it forgives its own mistakes.
    """

    hidden_size: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    ffn_size: int = 768
    head_layers: int = 3
    latent_size: int = 64
    max_positions: int = 2_048
    objective: str = "flow"
    noise_repeats: int = 4
    prompt_patches: int = 15
    prompt_drop: float = 0.1
    condition_drop: float = 0.1
    input_noise: float = 0.1

    def __post_init__(self) -> None:
        """Refuse sizes and odds that no network has.

        Raises:
            SpaceError: there is one.
        """
        check_types(self)
        check_ranges(self, RANGES)

"""Text to latents with a ``mel`` model: one latent at a time, with a key-value cache, until the stop head says so.

Shapes: ``P`` patches, ``D`` latent size, ``H`` hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vibesweep.corpus.text.phoneme_table import PATCH
from vibesweep.errors import SpeechError
from vibesweep.models.family import STOP_CLASS_WEIGHTS
from vibesweep.models.mel.batch import prefix_ids

if TYPE_CHECKING:
    from vibesweep.models.mel.model import MelModel


@dataclass(frozen=True)
class SpeakingSettings:
    """How speech is sampled.

    Attributes:
        diffusion_steps: evaluations of the head for each latent.
        guidance: how far the conditioned prediction is pushed away from the unconditioned one; 1 is none.
        stop_threshold: probability of "stop" at which the speech ends. Training weighs "stop" up; the default weighs it down again, to
            where both are equally likely.
        patches_per_phoneme_limit: the speech is cut when it gets longer than this many patches for each phoneme.
        seed: of the noise.
    """

    diffusion_steps: int = 10
    guidance: float = 1.5
    stop_threshold: float = STOP_CLASS_WEIGHTS[1] / sum(STOP_CLASS_WEIGHTS)
    patches_per_phoneme_limit: float = 2.0
    seed: int = 0


@torch.inference_mode()
def speak(
    model: MelModel,
    turns: Sequence[tuple[int, Sequence[int]]],
    prompts: Sequence[Tensor | None],
    settings: SpeakingSettings,
) -> Tensor:
    """Speak turns of (slot, phoneme ids) in the voices of the prompts [P, D], one for each slot.

    Returns:
        Latents [P, D] on the model's device.

    Raises:
        SpeechError: the text is longer than the model's context.
    """
    device = model.stop.weight.device
    ids = prefix_ids(prompts, turns)
    limit = (
        round(sum(len(phonemes) for _, phonemes in turns) * settings.patches_per_phoneme_limit) + 1
    )
    room = model.shape.max_positions - len(ids)
    if room < limit // 4:
        found = f"the text takes {len(ids)} of the model's {model.shape.max_positions} positions and leaves no room for its speech"
        raise SpeechError(found, fix="speak it in several parts")
    voices = [prompt for prompt in prompts if prompt is not None] or [
        torch.zeros(0, model.shape.latent_size)
    ]
    prefix = torch.tensor([ids], device=device)
    places = (prefix[0] == PATCH).nonzero().flatten()
    read = model.backbone(
        inputs_embeds=model.embed(prefix, torch.cat(voices).to(device), places), use_cache=True
    )
    generator = torch.Generator(device).manual_seed(settings.seed)
    state, cache = read.last_hidden_state[:, -1], read.past_key_values
    spoken: list[Tensor] = []
    patch, first = (
        torch.tensor([[PATCH]], device=device),
        torch.zeros(1, dtype=torch.long, device=device),
    )
    while len(spoken) < min(limit, room):
        if spoken and model.stop(state).softmax(-1)[0, 1] > settings.stop_threshold:
            break
        spoken.append(_next_latent(model, state, settings, generator))
        read = model.backbone(
            inputs_embeds=model.embed(patch, spoken[-1], first),
            past_key_values=cache,
            use_cache=True,
        )
        state, cache = read.last_hidden_state[:, -1], read.past_key_values
    return torch.cat(spoken)


def _next_latent(
    model: MelModel, state: Tensor, settings: SpeakingSettings, generator: torch.Generator
) -> Tensor:
    """Sample the latent [1, D] that follows the state [1, H], with classifier-free guidance (Ho and Salimans 2022, eq. 6)."""
    both = torch.cat([state, torch.zeros_like(state)])

    def predict(noisy: Tensor, times: Tensor) -> Tensor:
        if settings.guidance == 1.0:
            return _head(model, noisy, times, state)
        said, unsaid = _head(model, noisy.repeat(2, 1), times.repeat(2), both).chunk(2)
        return unsaid + settings.guidance * (said - unsaid)

    noise = torch.randn(1, model.shape.latent_size, device=state.device, generator=generator)
    return model.objective.sample(predict, noise, settings.diffusion_steps)


def _head(model: MelModel, noisy: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
    predicted: Tensor = model.head(noisy, times, conditions)
    return predicted

"""Text to speech with a ``mel`` model: one latent at a time, until the stop head ends it.

Shapes: ``P`` patches, ``D`` latent size, ``H`` hidden size.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.sound.vocoder import griffin_lim, write_wav
from vibesweep.corpus.text.phoneme_table import PATCH
from vibesweep.corpus.text.phonemes import phonemize
from vibesweep.errors import SpeechError
from vibesweep.models.bundle import Bundle
from vibesweep.models.family import SpeakingSettings, Speech
from vibesweep.models.losses import STOP_CLASS_WEIGHTS
from vibesweep.models.mel.batch import prefix_ids
from vibesweep.models.mel.model import MelModel

GUIDANCE = 1.5
STOP_THRESHOLD = STOP_CLASS_WEIGHTS[1] / sum(STOP_CLASS_WEIGHTS)
"""Probability of "stop" at which the speech ends. Training weighs "stop" up; this weighs it down
again, to where both are equally likely."""
PATCHES_PER_PHONEME = 2.0
"""The speech is cut when it gets longer than this many patches for each phoneme."""

SpokenTurn = tuple[int, Sequence[int]]
"""Slot of the speaker, and phoneme ids."""


def speak_turns(
    bundle: Bundle,
    turns: Sequence[Turn],
    voices: dict[str, str],
    out: Path,
    settings: SpeakingSettings,
) -> Speech:
    """Speak turns into a wav file, each speaker with the bundle's voice that ``voices`` names.

    Raises:
        ModelError: the model lacks a phoneme of the text.
        SpeechError: there is nothing to say, or more than fits.
    """
    model = cast(MelModel, bundle.model)
    tags = list(dict.fromkeys(turn.tag for turn in turns))
    phonemes = phonemize([turn.text for turn in turns])
    if not any(said.symbols for said in phonemes):
        fix = "write words of a language the model speaks"
        raise SpeechError("there is nothing to say in the text", fix=fix)
    spoken = [
        (tags.index(turn.tag), model.phonemes.encode(said.symbols))
        for turn, said in zip(turns, phonemes, strict=True)
    ]
    prompts = [bundle.voices.get(voices.get(tag, "")) for tag in tags]
    latents = sample_latents(model, spoken, prompts, settings)
    with torch.inference_mode():
        log_mel = model.codec.decode(latents.cpu()).numpy()
    waveform = griffin_lim(log_mel, model.mel)
    write_wav(out, waveform, model.mel)
    return Speech(len(waveform) / model.mel.sample_rate_hz, voices)


@torch.inference_mode()
def sample_latents(
    model: MelModel,
    turns: Sequence[SpokenTurn],
    prompts: Sequence[Tensor | None],
    settings: SpeakingSettings,
    stop_threshold: float = STOP_THRESHOLD,
) -> Tensor:
    """Sample the latents of some turns.

    Args:
        model: in eval mode.
        turns: what is said.
        prompts: a voice prompt [P, D] for each slot; None for a voice of the model's choice.
        settings: how they are sampled.
        stop_threshold: probability of "stop" at which the speech ends.

    Returns:
        Latents [P, D] on the model's device.

    Raises:
        SpeechError: the text is longer than the model's context.
    """
    device = model.stop.weight.device
    ids = prefix_ids(prompts, turns)
    limit = _limit(model, ids, turns)
    voices = [prompt for prompt in prompts if prompt is not None]
    latents = torch.cat([torch.zeros(0, model.shape.latent_size), *voices]).to(device)
    prefix = torch.tensor([ids], device=device)
    positions = (prefix[0] == PATCH).nonzero().flatten()
    state, cache = _read(model, model.embed(prefix, latents, positions), None)
    generator = torch.Generator(device).manual_seed(settings.seed)
    patch = torch.tensor([[PATCH]], device=device)
    first = torch.zeros(1, dtype=torch.long, device=device)
    spoken: list[Tensor] = []
    while len(spoken) < limit:
        stop = model.stop(state).softmax(-1)[0, 1]
        if spoken and stop > stop_threshold:
            break
        spoken.append(_next_latent(model, state, settings, generator))
        state, cache = _read(model, model.embed(patch, spoken[-1], first), cache)
    return torch.cat(spoken)


def _limit(model: MelModel, ids: Sequence[int], turns: Sequence[SpokenTurn]) -> int:
    """Most patches that may be spoken: by the text's length, and by the model's context."""
    phonemes = sum(len(said) for _, said in turns)
    limit = round(phonemes * PATCHES_PER_PHONEME) + 1
    room = model.shape.max_positions - len(ids)
    if room < limit // 4:
        found = (
            f"the text takes {len(ids)} of the model's {model.shape.max_positions} positions"
            " and leaves no room for its speech"
        )
        raise SpeechError(found, fix="speak it in several parts")
    return min(limit, room)


def _read(model: MelModel, embedded: Tensor, cache: Any) -> tuple[Tensor, Any]:
    """Run the backbone over further embeddings: the last state [1, H], and the key-value cache."""
    output = model.backbone(inputs_embeds=embedded, past_key_values=cache, use_cache=True)
    return output.last_hidden_state[:, -1], output.past_key_values


def _next_latent(
    model: MelModel, state: Tensor, settings: SpeakingSettings, generator: torch.Generator
) -> Tensor:
    """Sample the latent [1, D] that follows the state [1, H].

    Guidance is classifier-free (Ho and Salimans 2022, eq. 6).
    """
    guidance = GUIDANCE if settings.guidance is None else settings.guidance
    both = torch.cat([state, torch.zeros_like(state)])

    def predict(noisy: Tensor, times: Tensor) -> Tensor:
        if guidance == 1.0:
            plain: Tensor = model.head(noisy, times, state)
            return plain
        pairs: Tensor = model.head(noisy.repeat(2, 1), times.repeat(2), both)
        conditioned, unconditioned = pairs.chunk(2)
        return unconditioned + guidance * (conditioned - unconditioned)

    size = model.shape.latent_size
    noise = torch.randn(1, size, device=state.device, generator=generator)
    return model.objective.sample(predict, noise, settings.diffusion_steps)

"""Text to speech with a ``mel`` model: one latent at a time, until the stop head ends it.

Shapes: ``P`` patches, ``D`` latent size, ``H`` hidden size, ``S`` samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.rates import patch_rate_hz
from vibesweep.corpus.sound.speech_file import write_speech
from vibesweep.corpus.sound.vocoder import griffin_lim
from vibesweep.corpus.text.phoneme_table import PATCH
from vibesweep.errors import SpeechError
from vibesweep.models.bundle import Bundle
from vibesweep.models.family import SpeakingSettings, Speech
from vibesweep.models.losses import STOP_CLASS_WEIGHTS
from vibesweep.models.mel.batch import prefix_ids
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.reading import read_texts
from vibesweep.models.threads import one_thread
from vibesweep.progress import telling

GUIDANCE = 1.5
STOP_THRESHOLD = STOP_CLASS_WEIGHTS[1] / sum(STOP_CLASS_WEIGHTS)
"""Probability of "stop" at which the speech ends.

Training weighs "stop" up; this weighs it down again, to where both are equally likely.
"""
PATCHES_PER_PHONEME = 2.0
"""The speech is cut when it gets longer than this many patches for each phoneme."""
LIMIT_RATIO = 4
"""How many times longer than usual speech is when it is cut, about."""

SpokenTurn = tuple[int, Sequence[int]]
"""Slot of the speaker, and phoneme ids."""


class SampledSpeech(NamedTuple):
    """Latents [P, D], and whether the limit on their number ended them, not the model."""

    latents: Tensor
    cut: bool


@one_thread()
def speak_turns(
    bundle: Bundle,
    turns: Sequence[Turn],
    voices: dict[str, str],
    out: Path,
    settings: SpeakingSettings,
) -> Speech:
    """Speak turns into a sound file, each speaker with the bundle's voice that ``voices`` names.

    Raises:
        ModelError: the model lacks much of the text's phonemes.
        CorpusError: the language is unknown.
        SpeechError: there is nothing to say, or more than fits.
    """
    model = cast(MelModel, bundle.model)
    tags = list(dict.fromkeys(turn.tag for turn in turns))
    texts = [turn.text for turn in turns]
    own_language = bundle.trained_on.language
    language = settings.language or own_language
    read = read_texts(texts, language, model.phonemes)
    spoken = []
    for turn, ids in zip(turns, read.ids, strict=True):
        slot = tags.index(turn.tag)
        spoken.append((slot, ids))
    prompts = []
    for tag in tags:
        voice = voices.get(tag, "")
        prompt = bundle.voices.get(voice)
        prompts.append(prompt)
    sampled = sample_latents(model, spoken, prompts, settings)
    waveform = _waveform(model, sampled.latents)
    rate_hz = model.mel.sample_rate_hz
    write_speech(out, waveform, rate_hz)
    seconds = len(waveform) / rate_hz
    remarks = bundle.trained_on.remarks() + read.remarks()
    return Speech(seconds, voices, sampled.cut, remarks)


@torch.inference_mode()
def _waveform(model: MelModel, latents: Tensor) -> Samples:
    """Make sound [S] of latents [P, D]: a log-mel by the codec, then Griffin-Lim."""
    on_cpu = latents.cpu()
    log_mel = model.codec.decode(on_cpu)
    waveform = griffin_lim(log_mel.numpy(), model.mel)
    return np.clip(waveform, -1.0, 1.0)


@torch.inference_mode()
def sample_latents(
    model: MelModel,
    turns: Sequence[SpokenTurn],
    prompts: Sequence[Tensor | None],
    settings: SpeakingSettings,
    stop_threshold: float = STOP_THRESHOLD,
) -> SampledSpeech:
    """Sample the latents of some turns.

    Args:
        model: in eval mode.
        turns: what is said.
        prompts: a voice prompt [P, D] for each slot; None for a voice of the model's choice.
        settings: how they are sampled.
        stop_threshold: probability of "stop" at which the speech ends.

    Returns:
        Latents on the model's device, at least one.

    Raises:
        SpeechError: the text is longer than the model's context.
    """
    device = model.stop.weight.device
    ids = prefix_ids(prompts, turns)
    limit = _limit(model, ids, turns)
    state, cache = _read_prefix(model, ids, prompts)
    generator = torch.Generator(device)
    generator.manual_seed(settings.seed)
    patch = torch.tensor([[PATCH]], device=device)
    first = torch.zeros(1, dtype=torch.long, device=device)
    spoken: list[Tensor] = []
    stopped = False
    rate_hz = patch_rate_hz(model.mel)
    with telling("speaking", "seconds of speech") as tell:
        while len(spoken) < limit and not stopped:
            latent = _next_latent(model, state, settings, generator)
            spoken.append(latent)
            embedded = model.embed(patch, latent, first)
            state, cache = _read(model, embedded, cache)
            logits = model.stop(state)
            choice = logits.softmax(-1)
            stop = choice[0, 1].item()
            stopped = stop > stop_threshold
            tell(len(spoken) / rate_hz)
    latents = torch.cat(spoken)
    return SampledSpeech(latents, cut=not stopped)


def _limit(model: MelModel, ids: Sequence[int], turns: Sequence[SpokenTurn]) -> int:
    """Limit the number of patches, by the text's length and by the model's context."""
    lengths = [len(said) for _, said in turns]
    phonemes = sum(lengths)
    longest = phonemes * PATCHES_PER_PHONEME
    limit = round(longest) + 1
    prefix = len(ids)
    context = model.shape.max_positions
    room = context - prefix
    usual = limit // LIMIT_RATIO
    if room < usual:
        found = (
            f"the text takes {prefix} of the model's {context} positions"
            " and leaves no room for its speech"
        )
        raise SpeechError(found, fix="speak it in several parts")
    return min(limit, room)


def _read_prefix(
    model: MelModel, ids: Sequence[int], prompts: Sequence[Tensor | None]
) -> tuple[Tensor, Any]:
    """Run the backbone over voice prompts and text: the last state [1, H], and the cache."""
    device = model.stop.weight.device
    voices = [prompt for prompt in prompts if prompt is not None]
    no_voice = torch.zeros(0, model.shape.latent_size)
    latents = torch.cat([no_voice, *voices])
    prefix = torch.tensor([ids], device=device)
    is_latent = prefix[0] == PATCH
    indices = is_latent.nonzero().flatten()
    embedded = model.embed(prefix, latents.to(device), indices)
    return _read(model, embedded, None)


def _read(model: MelModel, embedded: Tensor, cache: Any) -> tuple[Tensor, Any]:
    """Run the backbone over further embeddings: the last state [1, H], and the key-value cache."""
    output = model.backbone(inputs_embeds=embedded, past_key_values=cache, use_cache=True)
    last_state = output.last_hidden_state[:, -1]
    return last_state, output.past_key_values


def _next_latent(
    model: MelModel, state: Tensor, settings: SpeakingSettings, generator: torch.Generator
) -> Tensor:
    """Sample the latent [1, D] that follows the state [1, H].

    Guidance is classifier-free (Ho and Salimans 2022, eq. 6).
    """
    guidance = GUIDANCE if settings.guidance is None else settings.guidance
    no_condition = torch.zeros_like(state)
    both = torch.cat([state, no_condition])

    def predict(noisy: Tensor, times: Tensor) -> Tensor:
        if guidance == 1.0:
            plain: Tensor = model.head(noisy, times, state)
            return plain
        noisy_twice = noisy.repeat(2, 1)
        times_twice = times.repeat(2)
        pair: Tensor = model.head(noisy_twice, times_twice, both)
        conditioned, unconditioned = pair.chunk(2)
        push = conditioned - unconditioned
        return unconditioned + guidance * push

    size = model.shape.latent_size
    noise = torch.randn(1, size, device=state.device, generator=generator)
    return model.objective.sample(predict, noise, settings.diffusion_steps)

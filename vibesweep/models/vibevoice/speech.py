"""Speech from a VibeVoice folder, by transformers' own ``generate``, written as it comes: each latent is 3,200 samples of a wav file.

One thing is done otherwise than there. For any guidance but 1, transformers also guides the choice between "go on" and "stop", as it
does for texts, against a context of tokens alone; that costs a third pass through the language model, and VibeVoice's own code does
not do it. What is guided here is the diffusion.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
import psutil
import soundfile
import torch
from transformers import (
    LogitsProcessorList,
    VibeVoiceConfig,
    VibeVoiceForConditionalGeneration,
    VibeVoiceProcessor,
)
from transformers.generation.logits_process import UnbatchedClassifierFreeGuidanceLogitsProcessor

from vibesweep.config import MelSettings
from vibesweep.corpus.ingest.decoding import decode
from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.rejects import RecordingError
from vibesweep.errors import ModelError, ResourceError, SpeechError
from vibesweep.models.mel.speak import SpeakingSettings

GUIDANCE = 1.3
"""What the released checkpoints are spoken with."""

ELSEWHERE = "speak it with `vibesweep synthesize` on a machine with more memory, or once others have left this one's"

PATCHES_PER_TOKEN, LIMIT_RATIO, LEAST_LIMIT = 2, 4, 15
"""Latents that a token of the text usually takes (7.5 are a second), how many times as many may be spoken, and what always may."""


@dataclass(frozen=True)
class Spoken:
    """What was said.

    Attributes:
        seconds: how long it is.
        voices: the recording that each speaker's voice was taken from, by tag.
        cut: whether it was ended by the limit, not by the model.
    """

    seconds: float
    voices: dict[str, str]
    cut: bool


class _Speaker(VibeVoiceForConditionalGeneration):  # type: ignore[no-untyped-call]
    """transformers' model, with the choice of tokens left unguided."""

    def _get_logits_processor(self, *args: Any, **kwargs: Any) -> LogitsProcessorList:
        found = super()._get_logits_processor(*args, **kwargs)
        return LogitsProcessorList(
            part
            for part in found
            if not isinstance(part, UnbatchedClassifierFreeGuidanceLogitsProcessor)
        )


def speak_vibevoice(
    folder: Path,
    turns: Sequence[Turn],
    out: Path,
    voices: Sequence[str],
    settings: SpeakingSettings,
) -> Spoken:
    """Speak turns of up to four speakers and write them as a wav file.

    Args:
        folder: in transformers' layout, with its processor.
        turns: what is said.
        out: the wav file; it can be listened to while it grows.
        voices: recordings of the voices, in the order in which the speakers first speak; those that are left have none, and speak with
            whatever voice the model chooses.
        settings: guidance, diffusion steps and seed.

    Raises:
        SpeechError: a recording cannot be read, the text does not fit the model's context, or nothing was said.
        ModelError: the folder cannot be read, or diffusers is not installed.
        ResourceError: memory does not hold the model.
    """
    if importlib.util.find_spec("diffusers") is None:
        raise ModelError(
            "VibeVoice samples with diffusers, which is not installed",
            where=str(folder),
            fix="pip install diffusers",
        )
    tags = list(dict.fromkeys(turn.tag for turn in turns))
    if len(voices) > len(tags):
        raise SpeechError(
            f"{len(voices)} voices for {len(tags)} speakers",
            where="--voice",
            fix="give one for each speaker at most",
        )
    processor, model = _load(folder)
    rate_hz = processor.feature_extractor.sampling_rate
    inputs, script_tokens = _inputs(
        processor, turns, tags, [_recording(voice, rate_hz) for voice in voices]
    )
    limit = _room(
        inputs["input_ids"].shape[1],
        script_tokens,
        model.config.text_config.max_position_embeddings,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    with _seeded(settings.seed), _in_memory(folder), _writing(model, out, rate_hz) as wav:
        on_device = {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }
        model.generate(
            **on_device,
            max_new_tokens=limit,
            guidance_scale=settings.guidance,
            num_diffusion_steps=settings.diffusion_steps,
            do_sample=False,
        )
        samples = wav.tell()
    if not samples:
        out.unlink()
        raise SpeechError(
            "the model said nothing", where=str(folder), fix="try another seed, or a longer text"
        )
    hop = model.config.audio_config.hop_length
    return Spoken(samples / rate_hz, dict(zip(tags, voices, strict=False)), samples >= limit * hop)


def _load(folder: Path) -> tuple[Any, Any]:
    device, dtype = (
        ("cuda", torch.bfloat16) if torch.cuda.is_available() else ("cpu", torch.float32)
    )
    if device == "cpu":
        _check_memory(folder)
    with _in_memory(folder):
        try:
            processor = VibeVoiceProcessor.from_pretrained(folder)
            model: Any = _Speaker.from_pretrained(folder, dtype=dtype)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"the model cannot be read: {reason}",
                where=str(folder),
                fix="export or copy it again",
            ) from error
        return processor, model.to(device).eval()


def _check_memory(folder: Path) -> None:
    """Refuse what the system would kill this process for."""
    with torch.device("meta"):
        shell: Any = VibeVoiceForConditionalGeneration(VibeVoiceConfig.from_pretrained(folder))
    needed = sum(part.numel() for part in shell.parameters()) * torch.float32.itemsize
    free = psutil.virtual_memory().available
    if needed > free:
        found = f"the model takes {needed / 1e9:.1f} GB of memory on a machine without a GPU, and {free / 1e9:.1f} GB are free"
        raise ResourceError(found, where=str(folder), fix=ELSEWHERE)


@contextmanager
def _in_memory(folder: Path) -> Iterator[None]:
    """Turn a GPU whose memory does not do into an error that says so."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise ResourceError(
            "the GPU's memory does not hold the model and its speech",
            where=str(folder),
            fix=ELSEWHERE,
        ) from error


def _recording(voice: str, rate_hz: int) -> npt.NDArray[Any]:
    """A voice prompt, mono [S]; the processor brings it to its level."""
    path = Path(voice).expanduser()
    if not path.is_file():
        fix = "name a recording: VibeVoice takes each voice from one, and an exported folder holds none"
        raise SpeechError("there is no such file", where=voice, fix=fix)
    try:
        return decode(path, MelSettings(sample_rate_hz=rate_hz)).samples
    except RecordingError as error:
        raise SpeechError(
            f"the voice cannot be used: {error}",
            where=voice,
            fix="give a clear recording of one person",
        ) from error


def _inputs(
    processor: Any, turns: Sequence[Turn], tags: Sequence[str], prompts: Sequence[npt.NDArray[Any]]
) -> tuple[dict[str, Any], int]:
    """What ``generate`` takes, and how many tokens the turns' words are."""
    text = " ".join(turn.text for turn in turns)
    for token in processor.tokenizer.added_tokens_decoder.values():
        if token.content in text:
            raise SpeechError(
                f"the text holds {token.content}, which is a control token",
                where="--text",
                fix="leave it out",
            )
    voiced = set(tags[: len(prompts)])
    messages: list[dict[str, Any]] = []
    for turn in turns:
        content = [{"type": "text", "text": turn.text}]
        if turn.tag in voiced:
            content.append({"type": "audio"})
            voiced.remove(turn.tag)
        messages.append({"role": str(tags.index(turn.tag)), "content": content})
    script = processor.apply_chat_template(messages, tokenize=False)
    sound = (
        {"audio": list(prompts), "sampling_rate": processor.feature_extractor.sampling_rate}
        if prompts
        else {}
    )
    words = sum(len(ids) for ids in processor.tokenizer([turn.text for turn in turns])["input_ids"])
    return dict(processor(text=[script], return_tensors="pt", **sound)), words


def _room(prefix: int, script_tokens: int, positions: int) -> int:
    """How many latents may be spoken at most."""
    usual, room = script_tokens * PATCHES_PER_TOKEN, positions - prefix
    if room < usual:
        found = f"the text and its voices take {prefix} of the model's {positions} positions and leave no room for the speech"
        raise SpeechError(
            found,
            where="--text",
            fix="speak it in several parts, or give shorter recordings of the voices",
        )
    return min(max(usual * LIMIT_RATIO, LEAST_LIMIT), room)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """All noise is drawn from torch's own generators."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def _writing(model: Any, out: Path, rate_hz: int) -> Iterator[soundfile.SoundFile]:
    """A wav file that each stretch of sound goes into when it has been decoded."""
    try:
        wav = soundfile.SoundFile(out, "w", rate_hz, 1, subtype="PCM_16", format="WAV")
    except (OSError, RuntimeError) as error:
        raise SpeechError(
            f"it cannot be written: {error}",
            where=str(out),
            fix="name a wav file in a folder that can be written to",
        ) from error

    def write(module: Any, args: Any, decoded: Any) -> None:
        wav.write(decoded.audio[0, 0].float().cpu().numpy())
        wav.flush()

    with wav:
        hook = model.model.audio_tower.decoder.register_forward_hook(write)
        try:
            yield wav
        finally:
            hook.remove()

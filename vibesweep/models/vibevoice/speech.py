"""Speech from a VibeVoice folder, by transformers' own ``generate``, written as it comes.

Each latent is 3,200 samples of a wav file. One thing is done otherwise than in transformers. For
any guidance but 1, transformers also guides the choice between "go on" and "stop", as it does for
texts, against a context of tokens alone; that costs a third pass through the language model, and
VibeVoice's own code does not do it. Only the diffusion is guided here.

Shapes: ``S`` samples.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch
from transformers import (
    LogitsProcessorList,
    VibeVoiceForConditionalGeneration,
    VibeVoiceProcessor,
)
from transformers.generation.logits_process import UnbatchedClassifierFreeGuidanceLogitsProcessor
from transformers.utils import logging as transformers_logging

from vibesweep.corpus.ingest.decoding import decode
from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.speech_file import writing_speech
from vibesweep.errors import ModelError, ResourceError, SpeechError
from vibesweep.models.family import SpeakingSettings, Speech
from vibesweep.models.library_errors import UNUSABLE
from vibesweep.models.vibevoice.checkpoint.locate import load_config, reason_of
from vibesweep.progress import telling

if TYPE_CHECKING:
    from soundfile import SoundFile

GUIDANCE = 1.3
"""Guidance that the released checkpoints are spoken with."""

PATCHES_PER_TOKEN = 2
"""Latents that a token of the text usually takes; 7.5 are a second."""
LIMIT_RATIO = 4
"""The speech is cut when it gets this many times longer than usual."""
LEAST_LIMIT = 15
"""Latents that may be spoken however short the text is."""

ELSEWHERE = (
    "speak it with `vibesweep synthesize` on a machine with more memory,"
    " or once others have left this one's"
)
LONGEST_VOICE_S = 300.0
"""So much of a recording is heard as a voice; the model's own are a minute at most."""


class _Speaker(VibeVoiceForConditionalGeneration):
    """transformers' model, with the choice of tokens left unguided."""

    def _get_logits_processor(self, *args: Any, **kwargs: Any) -> LogitsProcessorList:
        guided = UnbatchedClassifierFreeGuidanceLogitsProcessor
        found = super()._get_logits_processor(*args, **kwargs)
        return LogitsProcessorList(part for part in found if not isinstance(part, guided))


def speak_vibevoice(
    folder: Path,
    turns: Sequence[Turn],
    out: Path,
    voices: Mapping[str, str],
    settings: SpeakingSettings,
) -> Speech:
    """Speak turns of up to four speakers and write them as a sound file.

    Args:
        folder: in transformers' layout, with its processor.
        turns: what is said.
        out: the sound file; it appears when all is spoken.
        voices: a recording of the voice, by tag; speakers without one speak with whatever voice
            the model chooses.
        settings: guidance, diffusion steps and seed.

    Raises:
        SpeechError: a recording cannot be read, the text does not fit the model's context, or
            nothing was said.
        ModelError: the folder cannot be read, or diffusers is not installed.
        ResourceError: memory does not hold the model.
    """
    _check_diffusers(folder)
    tags = list(dict.fromkeys(turn.tag for turn in turns))
    processor, model = _load(folder)
    rate_hz = processor.feature_extractor.sampling_rate
    prompts = {tag: _read_voice(voices[tag], rate_hz) for tag in tags if tag in voices}
    inputs, text_tokens = _inputs(processor, turns, tags, prompts)
    prefix = inputs["input_ids"].shape[1]
    limit = _limit(prefix, text_tokens, model.config.text_config.max_position_embeddings)
    with _seeded(settings.seed), _in_memory(folder), _writing(model, out, rate_hz) as file:
        model.generate(
            **_on_device(inputs, model),
            max_new_tokens=limit,
            guidance_scale=GUIDANCE if settings.guidance is None else settings.guidance,
            num_diffusion_steps=settings.diffusion_steps,
            do_sample=False,
        )
        samples = file.tell()
        if samples == 0:
            fix = "try another seed, or a longer text"
            raise SpeechError("the model said nothing", where=str(folder), fix=fix)
    cut = samples >= limit * model.config.audio_config.hop_length
    return Speech(samples / rate_hz, dict(voices), cut)


def _check_diffusers(folder: Path) -> None:
    if importlib.util.find_spec("diffusers") is None:
        found = "VibeVoice samples with diffusers, which is not installed"
        raise ModelError(found, where=str(folder), fix="pip install diffusers")


def _on_device(inputs: dict[str, Any], model: Any) -> dict[str, Any]:
    """Bring the inputs to the model's device, and numbers with a fraction to its type."""
    moved = {}
    for name, value in inputs.items():
        dtype = model.dtype if value.is_floating_point() else None
        moved[name] = value.to(model.device, dtype)
    return moved


def _load(folder: Path) -> tuple[Any, Any]:
    """Load the processor and the model: on a GPU in bfloat16, else on the CPU in float32."""
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        _check_memory(folder)
    with _in_memory(folder), _without_bar():
        try:
            processor = VibeVoiceProcessor.from_pretrained(folder, trust_remote_code=False)
            dtype = torch.bfloat16 if on_gpu else torch.float32
            model: Any = _Speaker.from_pretrained(
                folder,
                config=load_config(folder),
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
            )
        except torch.OutOfMemoryError:
            raise
        except UNUSABLE as error:
            found = f"the model cannot be read: {reason_of(error)}"
            raise ModelError(found, where=str(folder), fix="export or copy it again") from error
        return processor, model.to("cuda" if on_gpu else "cpu").eval()


def _check_memory(folder: Path) -> None:
    """Refuse a model for whose size the system would kill this process."""
    config = load_config(folder)
    with torch.device("meta"):
        shell: Any = VibeVoiceForConditionalGeneration(config)
    needed = sum(part.numel() for part in shell.parameters()) * torch.float32.itemsize
    free = psutil.virtual_memory().available
    if needed > free:
        found = (
            f"the model takes {needed / 1e9:.1f} GB of memory on a machine without a GPU,"
            f" and {free / 1e9:.1f} GB are free"
        )
        raise ResourceError(found, where=str(folder), fix=ELSEWHERE)


@contextmanager
def _without_bar() -> Iterator[None]:
    """Keep away transformers' bar of the weights that it reads, which it writes into logs too."""
    before = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if before:
            transformers_logging.enable_progress_bar()


@contextmanager
def _in_memory(folder: Path) -> Iterator[None]:
    """Turn a GPU's lack of memory into an error that says so."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        found = "the GPU's memory does not hold the model and its speech"
        raise ResourceError(found, where=str(folder), fix=ELSEWHERE) from error


def _read_voice(voice: str, rate_hz: int) -> Samples:
    """Read a voice prompt, mono [S]; the processor brings it to its level."""
    path = Path(voice).expanduser()
    if not path.is_file():
        fix = "name a recording: VibeVoice takes each voice from one, and exports hold none"
        raise SpeechError("there is no such file", where=voice, fix=fix)
    try:
        return decode(path, rate_hz, end_s=LONGEST_VOICE_S).samples
    except RecordingError as error:
        found = f"the voice cannot be used: {error}"
        fix = "give a clear recording of one person"
        raise SpeechError(found, where=voice, fix=fix) from error


def _inputs(
    processor: Any, turns: Sequence[Turn], tags: Sequence[str], prompts: Mapping[str, Samples]
) -> tuple[dict[str, Any], int]:
    """Make what ``generate`` takes, and count the tokens of the turns' words.

    The prompts are in the order of ``tags``, as the script has them.
    """
    texts = [turn.text for turn in turns]
    _refuse_control_tokens(processor, texts)
    messages = _messages(turns, tags, voiced=set(prompts))
    script = processor.apply_chat_template(messages, tokenize=False)
    sound: dict[str, Any] = {}
    if prompts:
        rate_hz = processor.feature_extractor.sampling_rate
        sound = {"audio": list(prompts.values()), "sampling_rate": rate_hz}
    text_tokens = sum(len(ids) for ids in processor.tokenizer(texts)["input_ids"])
    return dict(processor(text=[script], return_tensors="pt", **sound)), text_tokens


def _messages(turns: Sequence[Turn], tags: Sequence[str], voiced: set[str]) -> list[dict[str, Any]]:
    """Write the turns as a chat; the first turn of each speaker with a voice carries it."""
    messages = []
    heard: set[str] = set()
    for turn in turns:
        content = [{"type": "text", "text": turn.text}]
        if turn.tag in voiced and turn.tag not in heard:
            content.append({"type": "audio"})
            heard.add(turn.tag)
        messages.append({"role": str(tags.index(turn.tag)), "content": content})
    return messages


def _refuse_control_tokens(processor: Any, texts: Sequence[str]) -> None:
    whole = " ".join(texts)
    for token in processor.tokenizer.added_tokens_decoder.values():
        if token.content in whole:
            found = f"the text holds {token.content}, which is a control token"
            raise SpeechError(found, where="--text", fix="leave it out")


def _limit(prefix: int, text_tokens: int, context: int) -> int:
    """Limit the number of latents, by the text's length and by the model's context."""
    usual = text_tokens * PATCHES_PER_TOKEN
    room = context - prefix
    if room < usual:
        found = (
            f"the text and its voices take {prefix} of the model's {context} positions"
            " and leave no room for the speech"
        )
        fix = "speak it in several parts, or give shorter recordings of the voices"
        raise SpeechError(found, where="--text", fix=fix)
    limit = max(usual * LIMIT_RATIO, LEAST_LIMIT)
    return min(limit, room)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed torch's own generators, from which all noise is drawn, for the block."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


@contextmanager
def _writing(model: Any, out: Path, rate_hz: int) -> Iterator[SoundFile]:
    """Open a sound file into which each stretch of sound goes as soon as it is decoded."""
    with writing_speech(out, rate_hz) as file, telling("speaking", "seconds of speech") as tell:

        def write(module: Any, args: Any, decoded: Any) -> None:
            file.write(decoded.audio[0, 0].float().cpu().numpy())
            tell(file.tell() / rate_hz)

        hook = model.model.audio_tower.decoder.register_forward_hook(write)
        try:
            yield file
        finally:
            hook.remove()

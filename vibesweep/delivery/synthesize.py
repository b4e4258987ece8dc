"""From a model's folder and a text to speech; for ``mel`` by phonemes, latents, log-mel and waveform, for VibeVoice by transformers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from vibesweep.config import MelSettings
from vibesweep.corpus.recordings import MAX_SPEAKERS, Turn
from vibesweep.corpus.sound.vocoder import griffin_lim, write_wav
from vibesweep.corpus.text.phonemes import phonemize
from vibesweep.corpus.text.turns import parse_turns
from vibesweep.errors import ModelError, SpeechError
from vibesweep.models.bundle import Bundle, checkpoint_address, load_bundle
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.speak import SpeakingSettings, speak
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.speech import GUIDANCE, speak_vibevoice
from vibesweep.storage import StoragePath
from vibesweep.storage.folders import fetched_folder

Waveform = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Speech:
    """What was said.

    Attributes:
        seconds: how long it is.
        voices: who spoke, by tag: a voice of the bundle, or a recording.
        cut: whether it was ended by the limit that all speech has, not by the model.
    """

    seconds: float
    voices: dict[str, str]
    cut: bool = False


def default_settings(model: str) -> SpeakingSettings:
    """How speech is sampled where nothing else is asked for."""
    return (
        SpeakingSettings()
        if checkpoint_address(model) is None
        else SpeakingSettings(guidance=GUIDANCE)
    )


def synthesize(
    model: str,
    text: str,
    out: Path,
    *,
    voices: Sequence[str] = (),
    settings: SpeakingSettings | None = None,
) -> Speech:
    """Speak a text with a model and write it as a wav file.

    Args:
        model: a bundle's folder, a shipped base's name, or a VibeVoice checkpoint's folder or hub id after ``vibevoice:``.
        text: turns, ``[SPEAKER_A] …``, one after another or a line each; no tag is one speaker.
        out: the wav file.
        voices: in the order in which the tags appear: names of the bundle's voices (the rest are given out in the bundle's order); for
            VibeVoice, recordings (the rest speak with whatever voice the model chooses).
        settings: how it is sampled; the model's own default unless given.

    Raises:
        ModelError: the model cannot be read, or lacks a phoneme of the text.
        SpeechError: there is nothing to say, too many speakers, an unknown voice, or more text than fits.
    """
    turns, address = _turns(text), checkpoint_address(model)
    settings = settings or default_settings(model)
    if address is not None:
        spoken = speak_vibevoice(Checkpoint.open(address).folder, turns, out, voices, settings)
        return Speech(spoken.seconds, spoken.voices, spoken.cut)
    bundle = load_bundle(model)
    chosen = _cast(list(dict.fromkeys(turn.tag for turn in turns)), voices, bundle)
    waveform, mel = _speak(bundle, turns, chosen, settings)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_wav(out, waveform, mel)
    return Speech(len(waveform) / mel.sample_rate_hz, chosen)


@contextmanager
def model_folder(name: str) -> Iterator[str]:
    """What :func:`synthesize` takes for a bundle's path, a shipped base's name, or the URI of a bundle, which is fetched for the time."""
    if "://" not in name:
        yield name
        return
    with fetched_folder(StoragePath.of(name)) as folder:
        yield str(folder)


def _speak(
    bundle: Bundle, turns: Sequence[Turn], chosen: dict[str, str], settings: SpeakingSettings
) -> tuple[Waveform, MelSettings]:
    """Waveform [S] in -1 to 1."""
    model = bundle.model
    if not isinstance(model, MelModel):
        raise ModelError(
            f"models of the family {model.family} are not spoken with this command",
            where=str(bundle.folder),
        )
    tags = list(dict.fromkeys(turn.tag for turn in turns))
    symbols = [phonemes.symbols for phonemes in phonemize([turn.text for turn in turns])]
    if not any(symbols):
        raise SpeechError(
            "there is nothing to say in the text", fix="write words of a language the model speaks"
        )
    said = [
        (tags.index(turn.tag), model.phonemes.encode(part))
        for turn, part in zip(turns, symbols, strict=True)
    ]
    latents = speak(model, said, [bundle.voices.get(chosen.get(tag, "")) for tag in tags], settings)
    with torch.inference_mode():
        log_mel = model.codec.decode(latents.cpu()).numpy()
    return griffin_lim(log_mel, model.mel), model.mel


def _turns(text: str) -> tuple[Turn, ...]:
    turns = parse_turns(re.sub(r"\s*(\[SPEAKER_\w+\])", r"\n\1", text))
    if not turns:
        raise SpeechError(
            "the text is empty", where="--text", fix='write for example --text "[SPEAKER_A] Hello."'
        )
    if len(speakers := {turn.tag for turn in turns}) > MAX_SPEAKERS:
        raise SpeechError(
            f"{len(speakers)} speakers", where="--text", fix=f"use at most {MAX_SPEAKERS}"
        )
    return turns


def _cast(tags: Sequence[str], wanted: Sequence[str], bundle: Bundle) -> dict[str, str]:
    """Which voice each tag gets: those asked for, then the bundle's other voices in its order."""
    unknown = [name for name in wanted if name not in bundle.voices]
    if unknown:
        fix = f"choose among {', '.join(bundle.voices)}"
        raise SpeechError(
            f"the model has no voice {', '.join(unknown)}", where=str(bundle.folder), fix=fix
        )
    order = [*wanted, *(name for name in bundle.voices if name not in wanted)]
    return dict(zip(tags, order, strict=False))

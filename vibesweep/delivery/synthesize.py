"""From a bundle and a text to speech: turns, phonemes, latents, log-mel, waveform."""

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
from vibesweep.corpus.audio import griffin_lim, write_wav
from vibesweep.corpus.phonemes import phonemize
from vibesweep.corpus.recordings import MAX_SPEAKERS, Turn
from vibesweep.corpus.turns import parse_turns
from vibesweep.errors import ModelError, SpeechError
from vibesweep.folders import fetched_folder
from vibesweep.models.bundle import Bundle, load_bundle
from vibesweep.models.mel import MelModel
from vibesweep.models.mel_speak import SpeakingSettings, speak
from vibesweep.storage import Place


@dataclass(frozen=True)
class Speech:
    """What was said.

    Attributes:
        waveform: float32 [S] in -1 to 1.
        mel: its settings, the sample rate among them.
        voices: who spoke, by tag.
    """

    waveform: npt.NDArray[np.float32]
    mel: MelSettings
    voices: dict[str, str]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.waveform) / self.mel.sample_rate_hz


def synthesize(model: str, text: str, out: Path, *, voices: Sequence[str] = (), settings: SpeakingSettings | None = None) -> Speech:
    """Speak a text with a bundle and write it as a wav file.

    Args:
        model: a bundle's folder or a shipped base's name.
        text: turns, ``[SPEAKER_A] …``, one after another or a line each; no tag is one speaker.
        out: the wav file.
        voices: names of the bundle's voices, in the order in which the tags appear; the rest are given out in the bundle's order.
        settings: how it is sampled.

    Raises:
        ModelError: the bundle cannot be read, or lacks a phoneme of the text.
        SpeechError: there is nothing to say, too many speakers, an unknown voice, or more text than fits.
    """
    bundle = load_bundle(model)
    speech = _speak(bundle, text, voices, settings or SpeakingSettings())
    out.parent.mkdir(parents=True, exist_ok=True)
    write_wav(out, speech.waveform, speech.mel)
    return speech


@contextmanager
def model_folder(name: str) -> Iterator[str]:
    """What :func:`synthesize` takes for a bundle's path, a shipped base's name, or the URI of a bundle, which is fetched for the time."""
    if "://" not in name:
        yield name
        return
    with fetched_folder(Place.of(name)) as folder:
        yield str(folder)


def _speak(bundle: Bundle, text: str, voices: Sequence[str], settings: SpeakingSettings) -> Speech:
    model = bundle.model
    if not isinstance(model, MelModel):
        raise ModelError(f"models of the family {model.family} are not spoken with this command", where=str(bundle.folder))
    turns = _turns(text)
    tags = list(dict.fromkeys(turn.tag for turn in turns))
    chosen = _cast(tags, voices, bundle)
    symbols = [phonemes.symbols for phonemes in phonemize([turn.text for turn in turns])]
    if not any(symbols):
        raise SpeechError("there is nothing to say in the text", fix="write words of a language the model speaks")
    said = [(tags.index(turn.tag), model.phonemes.encode(part)) for turn, part in zip(turns, symbols, strict=True)]
    latents = speak(model, said, [bundle.voices.get(chosen.get(tag, "")) for tag in tags], settings)
    with torch.inference_mode():
        log_mel = model.codec.decode(latents.cpu()).numpy()
    return Speech(griffin_lim(log_mel, model.mel), model.mel, chosen)


def _turns(text: str) -> tuple[Turn, ...]:
    turns = parse_turns(re.sub(r"\s*(\[SPEAKER_\w+\])", r"\n\1", text))
    if not turns:
        raise SpeechError("the text is empty", where="--text", fix='write for example --text "[SPEAKER_A] Hello."')
    if len(speakers := {turn.tag for turn in turns}) > MAX_SPEAKERS:
        raise SpeechError(f"{len(speakers)} speakers", where="--text", fix=f"use at most {MAX_SPEAKERS}")
    return turns


def _cast(tags: Sequence[str], wanted: Sequence[str], bundle: Bundle) -> dict[str, str]:
    """Which voice each tag gets: those asked for, then the bundle's other voices in its order."""
    unknown = [name for name in wanted if name not in bundle.voices]
    if unknown:
        fix = f"choose among {', '.join(bundle.voices)}"
        raise SpeechError(f"the model has no voice {', '.join(unknown)}", where=str(bundle.folder), fix=fix)
    order = [*wanted, *(name for name in bundle.voices if name not in wanted)]
    return dict(zip(tags, order, strict=False))

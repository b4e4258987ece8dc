"""Voices to be heard and seen in a report: sound and mel picture as data inside the page.

Shapes: ``T`` frames, ``M`` mel bins.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import soundfile
from PIL import Image
from plotly.colors import sample_colorscale, unlabel_rgb

from vibesweep.config import MelSettings
from vibesweep.corpus.sound.arrays import LogMel
from vibesweep.corpus.sound.mel import log_mel
from vibesweep.corpus.sound.resampling import resample
from vibesweep.delivery.report.facts import Facts
from vibesweep.errors import SweepError
from vibesweep.quality.quality_file import BASE, RECORDING, Quality, Row, name_of_trial
from vibesweep.storage import StoragePath
from vibesweep.storage.names import is_plain_name

LONGEST_S = 30.0
"""A longer sound is cut: the page is to stay small."""
MOST_TEXTS = 3
MOST_TRIALS = 2
PICTURE_SCALE = 2
"""Pixels of a mel picture for each frame and bin."""
QUIETEST = 7.0
"""Nepers, 61 dB, below a picture's loudest bin: what is softer is as dark as silence."""
SHADES = 256


@dataclass(frozen=True)
class Clip:
    """One voice with one text.

    Attributes:
        who: whose voice it is.
        seconds: how long it is.
        audio: its sound, as a data URI.
        picture: its mel, as a data URI.
        cut: whether only its beginning is here.
        share: how wide its picture is: its length, of the longest sound of the same text.
    """

    who: str
    seconds: float
    audio: str
    picture: str
    cut: bool
    share: float = 1.0


@dataclass(frozen=True)
class SpokenText:
    """A text, and who says it. The text is empty where it is not known."""

    text: str
    clips: Sequence[Clip]


def spoken_texts(facts: Facts) -> list[SpokenText]:
    """Return what is there to be heard: the compared voices, or else the sweep's sample."""
    if facts.quality is not None:
        return list(_compared(facts, facts.quality))
    sample = facts.folder.sample
    if not sample.is_file():
        return []
    clip = _clip(sample, "the best trial, with a held-out text")
    return [SpokenText("", [clip])]


def _compared(facts: Facts, quality: Quality) -> Iterator[SpokenText]:
    best_first = [trial.number for trial in facts.validated]
    voices = voices_shown(quality, best_first)
    for number, text in enumerate(quality.texts[:MOST_TEXTS]):
        clips = []
        for voice, who in voices:
            if number >= len(voice.audio):
                continue
            path = _inside(facts.folder.place, voice.audio[number])
            if path.is_file():
                clip = _clip(path, who)
                clips.append(clip)
        if clips:
            yield SpokenText(text, _to_scale(clips))


def _inside(folder: StoragePath, path: str) -> StoragePath:
    """Return the path in the sweep's folder, which may come from somebody else.

    Raises:
        SweepError: the path leads out of it.
    """
    if all(is_plain_name(part) for part in path.split("/")):
        return folder / path
    found = f"it names a sound outside of its folder: {path}"
    raise SweepError(found, where=str(folder), fix="remove quality.json")


def _to_scale(clips: Sequence[Clip]) -> list[Clip]:
    """Give the pictures of a text one scale of time."""
    lengths = [min(clip.seconds, LONGEST_S) for clip in clips]
    longest = max(lengths)
    scaled = []
    for clip, length in zip(clips, lengths, strict=True):
        scaled.append(replace(clip, share=length / longest))
    return scaled


def voices_shown(quality: Quality, best_first: Sequence[int]) -> list[tuple[Row, str]]:
    """Choose whom to hear, and what to call them: recording, best trials, base."""
    by_name = {voice.name: voice for voice in quality.rows}
    heard = [number for number in best_first if name_of_trial(number) in by_name]
    wanted = [(RECORDING, "the real recording")]
    for number in heard[:MOST_TRIALS]:
        who = _called(number, best_first)
        wanted.append((name_of_trial(number), who))
    wanted.append((BASE, "the untouched base"))
    return [(by_name[name], who) for name, who in wanted if name in by_name]


def _called(number: int, best_first: Sequence[int]) -> str:
    place = best_first.index(number)
    kind = {0: ", the best", 1: ", the runner-up"}.get(place, "")
    return f"{name_of_trial(number)}{kind}"


def _clip(path: StoragePath, who: str) -> Clip:
    """Read a sound file and make it fit for the page."""
    settings = MelSettings()
    rate_hz = settings.sample_rate_hz
    with path.fetched() as local, soundfile.SoundFile(local) as file:
        found_hz = file.samplerate
        seconds = file.frames / found_hz
        cut = seconds > LONGEST_S
        # No more than is shown: a file of a few kilobytes may hold days of silence
        found = file.read(round(LONGEST_S * found_hz), dtype="float32", always_2d=True)
    waveform = found.mean(axis=1)
    if found_hz != rate_hz:
        waveform = resample(waveform, found_hz, rate_hz)
    flac = _flac(waveform, rate_hz)
    mel = log_mel(waveform, settings)
    png = mel_png(mel)
    return Clip(
        who=who,
        seconds=seconds,
        audio=data_uri(flac, "audio/flac"),
        picture=data_uri(png, "image/png"),
        cut=cut,
    )


def _flac(waveform: np.ndarray, rate_hz: int) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, waveform, rate_hz, subtype="PCM_16", format="FLAC")
    return content.getvalue()


def mel_png(mel: LogMel) -> bytes:
    """Draw a log-mel [T, M], low bins at the bottom, as a picture of T by M blocks."""
    below_loudest = mel - mel.max()
    level = 1 + below_loudest / QUIETEST
    shades = np.clip(level, 0, 1) * (SHADES - 1)
    upright = np.flipud(shades.T).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(upright), mode="P")
    colours = sample_colorscale("Viridis", SHADES)
    picture.putpalette([round(part) for colour in colours for part in unlabel_rgb(colour)])
    width, height = picture.size
    picture = picture.resize((width * PICTURE_SCALE, height * PICTURE_SCALE))
    content = io.BytesIO()
    picture.save(content, "PNG", optimize=True)
    return content.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Write a file's content as an address that holds all of it."""
    text = base64.b64encode(content).decode()
    return f"data:{kind};base64,{text}"

"""Has models say the same texts with one seed, and scores what is heard."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from vibesweep.corpus.sound.speech_file import write_speech
from vibesweep.errors import SpeechError
from vibesweep.models.family import SpeakingSettings
from vibesweep.models.registry import ModelRef
from vibesweep.progress import telling
from vibesweep.quality.quality_file import BASE, RECORDING, Row
from vibesweep.quality.scorer import Passage, Scorer, Sound

SEED = 0
SILENCE = Sound(np.zeros(2_400, np.float32), 24_000)
"""What is heard of a model that could not say a text."""


class Voice(NamedTuple):
    """A model that is heard.

    Attributes:
        name: in tables and files.
        model: what speaks.
        language: in which it reads the texts; None is its own.
    """

    name: str
    model: ModelRef
    language: str | None = None


def base_voice(base: str, tuned: ModelRef, scratch: Path) -> Voice:
    """Return the untouched base with the voices and language of a model that was tuned from it."""
    model = ModelRef.parse(base)
    address = model.family.lend_voices(
        model.address,
        tuned.address,
        scratch / BASE,
    )
    lent = ModelRef(model.family_name, address)
    own = model.family.language(model.address)
    tuned_in = tuned.family.language(tuned.address)
    return Voice(BASE, lent, None if tuned_in == own else tuned_in)


def listen(
    voices: Sequence[Voice],
    passages: Sequence[Passage],
    scorers: Sequence[Scorer],
    folder: Path,
    audio: Path,
    limit_s: float = math.inf,
) -> tuple[Row, ...]:
    """Have every voice say the passages, one passage after the other, and score them.

    Args:
        voices: who speaks.
        passages: what they say.
        scorers: who listen.
        folder: of the JSON file.
        audio: a folder in it, for the sound files.
        limit_s: no passage is begun that would take longer than what is left of this, so that all
            voices have said the same; the first one is always said.

    Returns:
        The recording's row, then the voices'.

    Raises:
        ModelError: a model cannot be read.
    """
    audio.mkdir(parents=True, exist_ok=True)
    scores: dict[str, list[Mapping[str, float]]] = defaultdict(list)
    files: dict[str, list[str]] = defaultdict(list)
    sounds = len(passages) * (len(voices) + 1)
    heard = 0
    with telling("listening", "sounds") as tell:
        for number, passage in _within(limit_s, passages):
            for name, sound, file in _sayings(voices, passage, audio, number):
                tell(heard, sounds)
                heard += 1
                scored = scores_of(sound, passage, scorers)
                scores[name].append(scored)
                relative = file.relative_to(folder)
                files[name].append(str(relative))
    return _rows(scores, files)


def _within(limit_s: float, passages: Sequence[Passage]) -> Iterator[tuple[int, Passage]]:
    """Yield numbered passages, until one as slow as the slowest so far would end too late."""
    began_s = time.monotonic()
    slowest_s = 0.0
    for number, passage in enumerate(passages):
        passage_began_s = time.monotonic()
        spent_s = passage_began_s - began_s
        if number and spent_s + slowest_s > limit_s:
            return
        yield number, passage
        passage_s = time.monotonic() - passage_began_s
        slowest_s = max(slowest_s, passage_s)


def _rows(
    scores: Mapping[str, Sequence[Mapping[str, float]]], files: Mapping[str, Sequence[str]]
) -> tuple[Row, ...]:
    """Make a row of each voice's scores and sound files, both by the voice's name."""
    rows = []
    for name, by_text in scores.items():
        audio_files = tuple(files[name])
        row = Row(name, tuple(by_text), audio_files)
        rows.append(row)
    return tuple(rows)


def _sayings(
    voices: Sequence[Voice], passage: Passage, audio: Path, number: int
) -> Iterator[tuple[str, Sound, Path]]:
    """Yield the name, the sound and the file of the recording and of each voice."""
    recording = passage.recording
    file = _file(audio, RECORDING, number)
    samples = np.clip(recording.samples, -1, 1)
    write_speech(file, samples, recording.rate_hz)
    yield RECORDING, recording, file
    for voice in voices:
        file = _file(audio, voice.name, number)
        sound = say(voice, passage, file)
        yield voice.name, sound, file


def _file(audio: Path, name: str, number: int) -> Path:
    plain = name.replace(" ", "-")
    return audio / f"{plain}-{number + 1}.wav"


def say(voice: Voice, passage: Passage, file: Path) -> Sound:
    """Have a model say a passage into a file; where it cannot, that is silence.

    Raises:
        ModelError: the model cannot be read.
    """
    settings = SpeakingSettings(seed=SEED, language=voice.language)
    model = voice.model
    voices = voices_for(model, passage)
    try:
        speech = model.family.synthesize(
            model.address,
            passage.turns,
            file,
            voices,
            settings,
        )
    except SpeechError:
        write_speech(file, SILENCE.samples, SILENCE.rate_hz)
        return SILENCE
    samples, rate_hz = soundfile.read(file, dtype="float32")
    return Sound(samples, rate_hz, cut=speech.cut)


def voices_for(model: ModelRef, passage: Passage) -> Mapping[str, str]:
    """Return whose voice says each tag's lines, as far as the model has or takes the person's."""
    family = model.family
    if family.voices_are_recordings:
        return passage.prompts
    known = family.voices(model.address)
    voices = {}
    for tag, person in passage.people.items():
        if person in known:
            voices[tag] = person
    return voices


def scores_of(sound: Sound, passage: Passage, scorers: Sequence[Scorer]) -> Mapping[str, float]:
    """Return what all of these measure in a sound."""
    scores: dict[str, float] = {}
    for scorer in scorers:
        scores |= scorer.score(sound, passage)
    return scores

"""Clips of speech in chunks of files: made once each, by as many processes as there are.

A chunk holds a few people's clips. It is whole or not there, so that whoever was stopped goes on.
A clip that is silent, empty or not finite is dropped and counted.

Shapes: ``S`` samples, ``T`` frames, ``M`` mel bins.
"""

from __future__ import annotations

import json
import multiprocessing
import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from examples.base.channels import RATE_HZ
from examples.base.people import Person, draw_person
from examples.base.teachers import TEACHERS, Teacher
from examples.base.texts import Utterance
from vibesweep.config import MelSettings
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.shards.schema import Clip, ClipTurn
from vibesweep.corpus.sound.activity import speech_activity
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.levels import at_level
from vibesweep.corpus.sound.mel import half_precision, log_mel
from vibesweep.corpus.sound.rates import FRAMES_PER_PATCH
from vibesweep.models.mel.encoder import MEL, PHONEMES

CLIPS_A_CHUNK = 64
PEOPLE_A_CHUNK = 4
DIALOGUE_SHARE = 0.25
MANDARIN_ONE_IN = 8
"""One chunk of so many is Mandarin."""
VALIDATION_ONE_IN = 50
QUIET_SHARE = 0.003
"""Samples below this share of the peak count as silence at the ends of a turn."""
EDGES_S = (0.02, 0.15)
PAUSES_S = (0.15, 0.6)
LONGEST_S = 20.0


@dataclass(frozen=True)
class Chunk:
    """A chunk to be spoken.

    Attributes:
        number: of the chunk.
        folder: where its two files go.
        language: of what is said.
        said: enough utterances.
        teachers: who may speak.
    """

    number: int
    folder: Path
    language: str
    said: Sequence[Utterance]
    teachers: tuple[str, ...]

    @property
    def listing(self) -> Path:
        """The file that is written last."""
        return self.folder / f"{self.number:05d}.json"

    @property
    def sounds(self) -> Path:
        """The log-mels."""
        return self.folder / f"{self.number:05d}.npy"


class UnusableClipError(Exception):
    """A clip that no base should hear."""


def chunks(
    folder: Path, said: dict[str, list[Utterance]], count: int, teachers: tuple[str, ...]
) -> Iterator[Chunk]:
    """List chunks; each takes the utterances after those of the chunk before it."""
    taken = Counter[str]()
    for number in range(count):
        language = "zh" if number % MANDARIN_ONE_IN == MANDARIN_ONE_IN - 1 else "en"
        stock = said[language] or said["en"]
        wanted = 2 * CLIPS_A_CHUNK
        places = [(taken[language] + place) % len(stock) for place in range(wanted)]
        taken[language] += wanted
        spoken_in = stock[0].language
        yield Chunk(number, folder, spoken_in, [stock[place] for place in places], teachers)


def speak_chunks(todo: Sequence[Chunk], processes: int, enough: threading.Event) -> None:
    """Speak the chunks that are not there yet, until there is enough."""
    missing = [chunk for chunk in todo if not chunk.listing.exists()]
    # Spawned, because eSpeak and torch do not survive a fork
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes, _start) as pool:
        for _ in pool.imap_unordered(_speak_chunk, missing):
            if enough.is_set():
                break


@dataclass
class Spoken:
    """What there is of some chunks.

    Attributes:
        clips: how many there are, and how many were dropped, by reason.
        frames: of the clips.
        people: who speak.
    """

    clips: Counter[str]
    frames: int
    people: set[str]


def spoken_of(todo: Sequence[Chunk]) -> Spoken:
    """Count what has been spoken of some chunks."""
    found = Spoken(Counter(clips=0), 0, set())
    for chunk in todo:
        if not chunk.listing.exists():
            continue
        listed = json.loads(chunk.listing.read_text())
        found.clips.update(listed["dropped"])
        for entry in listed["clips"]:
            found.clips["clips"] += 1
            found.frames += entry["frames"]
            found.people.update(turn["person"] for turn in entry["turns"])
    return found


def read_chunk(chunk: Chunk, mel: MelSettings) -> Iterator[Clip]:
    """Yield the clips of a chunk that has been spoken."""
    listed = json.loads(chunk.listing.read_text())
    mels = np.load(chunk.sounds, mmap_mode="r")
    first = 0
    for entry in listed["clips"]:
        frames = mels[first : first + entry["frames"]]
        first += entry["frames"]
        turns = tuple(_turn(turn, chunk.language) for turn in entry["turns"])
        seconds = entry["frames"] * mel.hop_samples / mel.sample_rate_hz
        yield Clip(
            id=entry["id"],
            split=entry["split"],
            duration_s=seconds,
            patches=entry["frames"] // FRAMES_PER_PATCH,
            tokens=sum(len(turn["symbols"]) + 1 for turn in entry["turns"]),
            turns=turns,
            columns={MEL: frames.reshape(-1)},
        )


def _turn(turn: dict[str, Any], language: str) -> ClipTurn:
    return ClipTurn(
        tag=turn["person"],
        speaker=turn["person"],
        language=language,
        text=turn["text"],
        start_s=turn["start_s"],
        end_s=turn["end_s"],
        timed=True,
        columns={PHONEMES: turn["symbols"]},
    )


# In the processes

_OPEN: dict[str, Teacher] = {}
"""The teachers that this process has loaded."""


def _start() -> None:
    torch.set_num_threads(1)


def _say(said: Utterance, person: Person, seed: int) -> Samples:
    """Have a person say something: samples [S], without silence at the ends."""
    if person.teacher not in _OPEN:
        _OPEN[person.teacher] = TEACHERS[person.teacher]()
    samples = _OPEN[person.teacher].say(said.text, person, seed)
    if not np.isfinite(samples).all():
        raise UnusableClipError("not finite")
    heard = person.channel.heard(samples)
    loudness = np.abs(heard)
    loud = np.flatnonzero(loudness > QUIET_SHARE * loudness.max(initial=0.0))
    if not len(loud):
        raise UnusableClipError("silent")
    return at_level(heard[loud[0] : loud[-1] + 1], -25.0)


def _speak_chunk(chunk: Chunk) -> int:
    """Speak a chunk and write its files."""
    rng = random.Random(chunk.number)
    first_person = chunk.number * PEOPLE_A_CHUNK
    people = [
        draw_person(first_person + place, chunk.language, chunk.teachers)
        for place in range(PEOPLE_A_CHUNK)
    ]
    mels = []
    entries = []
    dropped = Counter[str]()
    remaining = list(chunk.said)
    for place in range(CLIPS_A_CHUNK):
        cast = rng.sample(people, 2)
        turns = rng.choice((2, 2, 3)) if rng.random() < DIALOGUE_SHARE else 1
        texts = [remaining.pop() for _ in range(min(turns, len(remaining)))]
        name = f"{chunk.number:05d}-{place:02d}"
        try:
            mel, listed = _clip([(cast[turn % 2], said) for turn, said in enumerate(texts)], name)
        except (UnusableClipError, RecordingError) as error:
            dropped[str(error)] += 1
            continue
        split = "val" if chunk.number % VALIDATION_ONE_IN == 0 else "train"
        mels.append(mel)
        entries.append({"id": name, "split": split, "frames": len(mel), "turns": listed})
    np.save(chunk.sounds, np.concatenate(mels))
    partial = chunk.listing.with_suffix(".partial")
    partial.write_text(json.dumps({"dropped": dropped, "clips": entries}))
    partial.rename(chunk.listing)
    return chunk.number


def _clip(turns: Sequence[tuple[Person, Utterance]], name: str) -> tuple[Any, list[dict[str, Any]]]:
    """Speak a clip: its log-mel [T, M], and what its turns are."""
    seed = int(name.replace("-", ""))
    rng = np.random.default_rng(seed)
    settings = MelSettings()
    edge = _silence(rng, EDGES_S)
    parts = [edge]
    end = len(edge)
    listed: list[dict[str, Any]] = []
    for person, said in turns:
        if listed:
            pause = _silence(rng, PAUSES_S)
            parts.append(pause)
            end += len(pause)
        samples = _say(said, person, seed + len(listed))
        start, end = end, end + len(samples)
        parts.append(samples)
        listed.append(
            {
                "person": person.name,
                "text": said.text,
                "symbols": said.symbols,
                "start_s": start / RATE_HZ,
                "end_s": end / RATE_HZ,
            }
        )
    spoken = np.concatenate([*parts, _silence(rng, EDGES_S)])
    spoken += turns[0][0].channel.noise(spoken, rng)
    if len(spoken) > LONGEST_S * RATE_HZ:
        raise UnusableClipError("too long")
    found = speech_activity(spoken, RATE_HZ).level_dbfs
    levelled = at_level(spoken, settings.level_dbfs, found=found)
    mel = log_mel(levelled, settings)
    if not np.isfinite(mel).all():
        raise UnusableClipError("not finite")
    return half_precision(mel), listed


def _silence(rng: np.random.Generator, bounds_s: tuple[float, float]) -> Samples:
    return np.zeros(round(rng.uniform(*bounds_s) * RATE_HZ), np.float32)

"""Speaks dialogues into a corpus folder, so that a sweep can be tried without any recordings."""

from __future__ import annotations

import csv
import json
import multiprocessing
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np

from vibesweep.corpus.demo.dialogues import (
    LONGEST_PAUSE_S,
    SHORTEST_PAUSE_S,
    Dialogue,
    demo_dialogues,
)
from vibesweep.corpus.demo.voices import DEMO_VOICES, ESPEAK_RATE_HZ, Samples, Voice, speak_turns
from vibesweep.corpus.ingest.metadata import COLUMNS, METADATA_FILE, SEGMENTS_FILE, SPEAKERS_COLUMN
from vibesweep.corpus.recordings import MAX_SPEAKERS
from vibesweep.corpus.sound.speech_file import write_speech
from vibesweep.corpus.text.espeak_library import load_espeak
from vibesweep.progress import telling

DEMO_RECORDINGS = 48
LARGEST_CHUNK = 64  # dialogues handed to a process at once
CHUNKS_EACH = 4  # at least, for each process, so that they end at about the same time


@dataclass(frozen=True)
class _SpokenDialogue:
    """A dialogue's samples, and (start, end) of each turn in samples."""

    samples: Samples
    times: list[tuple[int, int]]

    @property
    def duration_s(self) -> float:
        """How long it is."""
        return len(self.samples) / ESPEAK_RATE_HZ


@dataclass(frozen=True)
class _Job:
    """A dialogue to be spoken into a corpus folder."""

    out: Path
    dialogue: Dialogue
    seed: int


@dataclass(frozen=True)
class _ClipEntry:
    """One clip's row of metadata.csv and its entry in segments.json.

    Attributes:
        id: of the dialogue.
        audio: the FLAC file, from the corpus folder.
        text: the text file, from the corpus folder.
        duration_s: how long the clip is.
        people: (tag, name of the voice) pairs.
        segments: when each turn is spoken.
    """

    id: str
    audio: str
    text: str
    duration_s: float
    people: dict[str, str]
    segments: list[dict[str, Any]]

    def row(self) -> list[str]:
        """Return the cells of the row."""
        num_speakers = str(len(self.people))
        duration = f"{self.duration_s:.4f}"
        pairs = [f"{tag}={name}" for tag, name in self.people.items()]
        speakers = ";".join(pairs)
        return [self.id, self.audio, self.text, num_speakers, duration, speakers]


def write_demo_corpus(
    out: Path,
    *,
    recordings: int = DEMO_RECORDINGS,
    seed: int = 0,
    voices: Sequence[Voice] = DEMO_VOICES,
    processes: int = 1,
) -> Path:
    """Write a corpus of two-speaker dialogues, about 6 s each, and return its folder.

    The bytes are the same for the same arguments. Three in four dialogues are English where the
    voices speak both languages.

    Raises:
        CorpusError: eSpeak NG is not installed.
    """
    dialogues = demo_dialogues(recordings, seed=seed, voices=voices)
    write_corpus(out, dialogues, seed=seed, processes=processes)
    return out


def write_corpus(
    out: Path, dialogues: Iterable[Dialogue], *, seed: int = 0, processes: int = 1
) -> None:
    """Speak dialogues into a corpus folder: FLAC, texts, exact turn times, and metadata.csv last.

    With more than one process the caller's program must be importable
    (``if __name__ == "__main__":``).

    Raises:
        CorpusError: eSpeak NG is not installed.
    """
    load_espeak()  # before the folder is made
    (out / "audio").mkdir(parents=True, exist_ok=True)
    (out / "text").mkdir(exist_ok=True)
    jobs = [_Job(out, dialogue, seed) for dialogue in dialogues]
    entries = _write_clips(jobs, processes)
    _write_segments(out / SEGMENTS_FILE, entries)
    _write_table(out / METADATA_FILE, entries)


def _write_segments(path: Path, entries: Sequence[_ClipEntry]) -> None:
    segments = {entry.id: entry.segments for entry in entries}
    with path.open("w", encoding="utf-8") as file:
        json.dump(segments, file, indent=1)
        file.write("\n")


def _write_table(path: Path, entries: Sequence[_ClipEntry]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow((*COLUMNS, SPEAKERS_COLUMN))
        for entry in entries:
            table.writerow(entry.row())


def _write_clips(jobs: Sequence[_Job], processes: int) -> list[_ClipEntry]:
    if processes == 1:
        return _told(map(_write_clip, jobs), len(jobs))
    chunks = CHUNKS_EACH * processes
    chunk = len(jobs) // chunks
    chunk = max(1, min(LARGEST_CHUNK, chunk))
    # Spawned, because eSpeak and torch do not survive a fork
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        return _told(pool.imap(_write_clip, jobs, chunksize=chunk), len(jobs))


def _told(entries: Iterable[_ClipEntry], count: int) -> list[_ClipEntry]:
    """Collect the entries, and tell how many there are as they come."""
    collected = []
    with telling("speaking", "dialogues") as tell:
        for entry in entries:
            collected.append(entry)
            tell(len(collected), count)
    return collected


def _write_clip(job: _Job) -> _ClipEntry:
    """Write the audio and the text of a dialogue."""
    dialogue = job.dialogue
    tags = _tags(dialogue)
    assert len(tags) <= MAX_SPEAKERS, f"{dialogue.id}: {len(tags)} voices"
    rng = random.Random(f"pauses {job.seed} {dialogue.id}")
    spoken = _speak(dialogue, rng)
    entry = _ClipEntry(
        id=dialogue.id,
        audio=f"audio/{dialogue.id}.flac",
        text=f"text/{dialogue.id}.txt",
        duration_s=spoken.duration_s,
        people={tag: voice.name for voice, tag in tags.items()},
        segments=_segments(dialogue, tags, spoken.times),
    )
    write_speech(job.out / entry.audio, spoken.samples, ESPEAK_RATE_HZ)
    _write_text(job.out / entry.text, dialogue, tags)
    return entry


def _write_text(path: Path, dialogue: Dialogue, tags: Mapping[Voice, str]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for voice, words in dialogue.turns:
            tag = tags[voice]
            file.write(f"[{tag}] {words}\n")


def _segments(
    dialogue: Dialogue, tags: Mapping[Voice, str], times: Sequence[tuple[int, int]]
) -> list[dict[str, Any]]:
    """Return the entry in segments.json."""
    segments = []
    for (voice, _), (start, end) in zip(dialogue.turns, times, strict=True):
        segment = {
            "speaker": tags[voice],
            "start": round(start / ESPEAK_RATE_HZ, 4),
            "end": round(end / ESPEAK_RATE_HZ, 4),
        }
        segments.append(segment)
    return segments


def _speak(dialogue: Dialogue, rng: random.Random) -> _SpokenDialogue:
    """Speak the turns one after the other, with pauses between them."""
    parts: list[Samples] = []
    times: list[tuple[int, int]] = []
    end = 0
    for samples in speak_turns(dialogue.turns):
        pause = _draw_pause(rng) if parts else 0
        silence = np.zeros(pause, np.int16)
        start = end + pause
        end = start + len(samples)
        parts += [silence, samples]
        times.append((start, end))
    return _SpokenDialogue(np.concatenate(parts), times)


def _draw_pause(rng: random.Random) -> int:
    """Draw the length of a pause, in samples."""
    pause_s = rng.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S)
    return round(pause_s * ESPEAK_RATE_HZ)


def _tags(dialogue: Dialogue) -> dict[Voice, str]:
    """Give each voice a tag: SPEAKER_A speaks first."""
    tags: dict[Voice, str] = {}
    for voice, _ in dialogue.turns:
        letter = ascii_uppercase[len(tags)]
        tags.setdefault(voice, f"SPEAKER_{letter}")
    return tags

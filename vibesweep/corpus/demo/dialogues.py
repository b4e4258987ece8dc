"""Speaks corpora with eSpeak NG, so that a sweep can be tried before any recording is at hand."""

from __future__ import annotations

import csv
import json
import multiprocessing
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.demo.sentences import sentence
from vibesweep.corpus.demo.voices import DEMO_VOICES, ESPEAK_RATE_HZ, Voice, speak_turns
from vibesweep.corpus.ingest.metadata import COLUMNS, METADATA_FILE, SEGMENTS_FILE, SPEAKERS_COLUMN
from vibesweep.corpus.recordings import MAX_SPEAKERS
from vibesweep.corpus.text.espeak import load_espeak

DEMO_RECORDINGS = 48
MANDARIN_SHARE = 0.25
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 0.5
TURNS = (2, 2, 3, 3, 4)
SHORTEST_CLIP_S, LONGEST_CLIP_S = 4.0, 9.0

# Measured on these sentences, at 160 words a minute
LETTER_S = 0.053
HAN_CHARACTER_S = 0.26
MEASURED_RATE_WPM = 160

LARGEST_CHUNK = 64  # dialogues handed to a process at once


@dataclass(frozen=True)
class Dialogue:
    """What is said in one clip: each turn is a voice and a text.

    One turn makes a clip of a single speaker.
    """

    id: str
    turns: tuple[tuple[Voice, str], ...]


@dataclass(frozen=True)
class _SpokenDialogue:
    """A dialogue's samples, and (start, end) of each turn in samples."""

    samples: npt.NDArray[np.int16]
    times: list[tuple[int, int]]


@dataclass(frozen=True)
class _ClipEntry:
    """One clip's row of metadata.csv and its entry in segments.json."""

    row: tuple[str, ...]
    segments: list[dict[str, Any]]


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


def demo_dialogues(
    recordings: int, *, seed: int = 0, voices: Sequence[Voice] = DEMO_VOICES
) -> Iterator[Dialogue]:
    """Yield dialogues of about 4 to 9 s, each by two voices of one language."""
    english = [voice for voice in voices if voice.language == "en"]
    mandarin = [voice for voice in voices if voice.language == "zh"]
    assert english or mandarin, "no voices"
    period = round(1 / MANDARIN_SHARE)
    for i in range(recordings):
        rng = random.Random(f"dialogue {seed} {i}")
        is_last_of_period = i % period == period - 1
        first_choice, second_choice = (
            (mandarin, english) if is_last_of_period else (english, mandarin)
        )
        cast = first_choice or second_choice
        pair = rng.sample(cast, min(2, len(cast)))
        yield Dialogue(f"demo_{i:04d}", _draw_turns(pair, rng))


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
    jobs = [(out, dialogue, seed) for dialogue in dialogues]
    entries = _write_clips(jobs, processes)
    segments = {entry.row[0]: entry.segments for entry in entries}
    (out / SEGMENTS_FILE).write_text(json.dumps(segments, indent=1) + "\n", encoding="utf-8")
    with (out / METADATA_FILE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow((*COLUMNS, SPEAKERS_COLUMN))
        table.writerows(entry.row for entry in entries)


def _draw_turns(pair: Sequence[Voice], rng: random.Random) -> tuple[tuple[Voice, str], ...]:
    """Draw turns by the voices in alternation that last about as long as a demo clip should."""
    pause_s = (SHORTEST_PAUSE_S + LONGEST_PAUSE_S) / 2
    while True:
        turns = []
        for i in range(rng.choice(TURNS)):
            voice = pair[i % len(pair)]
            turns.append((voice, sentence(voice.language, rng)))
        spoken_s = sum(_estimate_s(voice, text) for voice, text in turns)
        duration_s = spoken_s + pause_s * (len(turns) - 1)
        if SHORTEST_CLIP_S <= duration_s <= LONGEST_CLIP_S:
            return tuple(turns)


def _estimate_s(voice: Voice, text: str) -> float:
    """Estimate how long a voice takes to say a text."""
    character_s = HAN_CHARACTER_S if voice.language == "zh" else LETTER_S
    return len(text) * character_s * MEASURED_RATE_WPM / voice.rate_wpm


def _write_clips(jobs: Sequence[tuple[Path, Dialogue, int]], processes: int) -> list[_ClipEntry]:
    if processes == 1:
        return [_write_clip(job) for job in jobs]
    jobs_each = len(jobs) // (4 * processes)
    chunk = max(1, min(LARGEST_CHUNK, jobs_each))
    # Spawned, because eSpeak and torch do not survive a fork
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        return pool.map(_write_clip, jobs, chunksize=chunk)


def _write_clip(job: tuple[Path, Dialogue, int]) -> _ClipEntry:
    """Write the audio and the text of a dialogue."""
    import soundfile

    out, dialogue, seed = job
    tags = _tags(dialogue)
    assert len(tags) <= MAX_SPEAKERS, f"{dialogue.id}: {len(tags)} voices"
    spoken = _speak(dialogue, random.Random(f"pauses {seed} {dialogue.id}"))
    audio = f"audio/{dialogue.id}.flac"
    soundfile.write(out / audio, spoken.samples, ESPEAK_RATE_HZ, subtype="PCM_16", format="FLAC")
    text = f"text/{dialogue.id}.txt"
    lines = [f"[{tags[voice]}] {words}\n" for voice, words in dialogue.turns]
    (out / text).write_text("".join(lines), encoding="utf-8")
    segments = []
    for (voice, _), (start, end) in zip(dialogue.turns, spoken.times, strict=True):
        segments.append({"speaker": tags[voice], "start": _seconds(start), "end": _seconds(end)})
    people = ";".join(f"{tag}={voice.name}" for voice, tag in tags.items())
    duration = f"{len(spoken.samples) / ESPEAK_RATE_HZ:.4f}"
    row = (dialogue.id, audio, text, str(len(tags)), duration, people)
    return _ClipEntry(row, segments)


def _speak(dialogue: Dialogue, rng: random.Random) -> _SpokenDialogue:
    """Speak the turns one after the other, with pauses between them."""
    parts: list[npt.NDArray[np.int16]] = []
    times: list[tuple[int, int]] = []
    end = 0
    for samples in speak_turns(dialogue.turns):
        pause = _draw_pause(rng) if parts else 0
        start = end + pause
        end = start + len(samples)
        parts += [np.zeros(pause, np.int16), samples]
        times.append((start, end))
    return _SpokenDialogue(np.concatenate(parts), times)


def _draw_pause(rng: random.Random) -> int:
    """Draw the length of a pause, in samples."""
    pause_s = rng.uniform(SHORTEST_PAUSE_S, LONGEST_PAUSE_S)
    return round(pause_s * ESPEAK_RATE_HZ)


def _seconds(samples: int) -> float:
    return round(samples / ESPEAK_RATE_HZ, 4)


def _tags(dialogue: Dialogue) -> dict[Voice, str]:
    """Give each voice a tag: SPEAKER_A speaks first."""
    voices = dict.fromkeys(voice for voice, _ in dialogue.turns)
    return {
        voice: f"SPEAKER_{letter}" for voice, letter in zip(voices, ascii_uppercase, strict=False)
    }

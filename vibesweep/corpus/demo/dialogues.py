"""Speaks corpora with eSpeak NG, so that a sweep can be tried before any recording is at hand."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.demo.sentences import sentence
from vibesweep.corpus.demo.voices import DEMO_VOICES, ESPEAK_RATE_HZ, Voice, speak_turns
from vibesweep.corpus.ingest.metadata import COLUMNS, METADATA_FILE, SEGMENTS_FILE, SPEAKERS_COLUMN
from vibesweep.corpus.recordings import MAX_SPEAKERS

DEMO_RECORDINGS = 48
MANDARIN_SHARE = 0.25
PAUSE_S = (0.2, 0.5)
TURNS = (2, 2, 3, 3, 4)
DEMO_CLIP_S = (4.0, 9.0)


@dataclass(frozen=True)
class Dialogue:
    """What is said in one clip: a turn is a voice and a text. One turn makes a clip of a single speaker."""

    id: str
    turns: tuple[tuple[Voice, str], ...]


@dataclass(frozen=True)
class _Spoken:
    """One clip's row of metadata.csv and entry in segments.json."""

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
    """Write a corpus of two-speaker dialogues, about 6 s each; the same bytes for the same arguments.

    Three in four are English where the voices speak both languages. Returns ``out``.
    """
    write_corpus(
        out, demo_dialogues(recordings, seed=seed, voices=voices), seed=seed, processes=processes
    )
    return out


def demo_dialogues(
    recordings: int, *, seed: int = 0, voices: Sequence[Voice] = DEMO_VOICES
) -> Iterator[Dialogue]:
    """Dialogues of two voices of one language, of about 4 to 9 s."""
    casts = {
        language: [voice for voice in voices if voice.language == language]
        for language in ("en", "zh")
    }
    spoken = [language for language, cast in casts.items() if cast]
    assert spoken, "no voices"
    every = round(1 / MANDARIN_SHARE)
    for i in range(recordings):
        rng = random.Random(f"dialogue {seed} {i}")
        language = spoken[-1] if i % every == every - 1 else spoken[0]
        pair = rng.sample(casts[language], min(2, len(casts[language])))
        yield Dialogue(f"demo_{i:04d}", _turns_that_fit(language, pair, rng))


def write_corpus(
    out: Path, dialogues: Iterable[Dialogue], *, seed: int = 0, processes: int = 1
) -> None:
    """Speak dialogues into a corpus folder: FLAC, texts, exact turn times, and metadata.csv last.

    With more than one process the caller's program must be importable (``if __name__ == "__main__":``).
    """
    (out / "audio").mkdir(parents=True, exist_ok=True)
    (out / "text").mkdir(exist_ok=True)
    jobs = [(out, dialogue, seed) for dialogue in dialogues]
    if processes == 1:
        spoken = [_write_clip(job) for job in jobs]
    else:
        import multiprocessing

        with multiprocessing.get_context("spawn").Pool(
            processes
        ) as pool:  # spawned: eSpeak and torch do not survive a fork
            spoken = pool.map(
                _write_clip, jobs, chunksize=max(1, min(64, len(jobs) // (4 * processes)))
            )
    segments = {clip.row[0]: clip.segments for clip in spoken}
    (out / SEGMENTS_FILE).write_text(json.dumps(segments, indent=1) + "\n", encoding="utf-8")
    with (out / METADATA_FILE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow((*COLUMNS, SPEAKERS_COLUMN))
        table.writerows(clip.row for clip in spoken)


def _turns_that_fit(
    language: str, pair: Sequence[Voice], rng: random.Random
) -> tuple[tuple[Voice, str], ...]:
    """Turns by the voices in alternation that last about as long as a demo clip should."""
    while True:
        turns = tuple(
            (pair[i % len(pair)], sentence(language, rng)) for i in range(rng.choice(TURNS))
        )
        seconds = sum(_guess_s(voice, text) for voice, text in turns) + sum(PAUSE_S) / 2 * (
            len(turns) - 1
        )
        if DEMO_CLIP_S[0] <= seconds <= DEMO_CLIP_S[1]:
            return turns


def _guess_s(voice: Voice, text: str) -> float:
    """How long a text lasts: 0.053 s a letter, 0.26 s a Han character at 160 words a minute, measured on these sentences."""
    return len(text) * (0.26 if voice.language == "zh" else 0.053) * 160 / voice.rate_wpm


def _write_clip(job: tuple[Path, Dialogue, int]) -> _Spoken:
    import soundfile

    out, dialogue, seed = job
    tags = _tags(dialogue)
    assert len(tags) <= MAX_SPEAKERS, f"{dialogue.id}: {len(tags)} voices"
    rng = random.Random(f"pauses {seed} {dialogue.id}")
    parts: list[npt.NDArray[np.int16]] = []
    segments, at = [], 0
    for (voice, _), samples in zip(dialogue.turns, speak_turns(dialogue.turns), strict=True):
        pause = np.zeros(round(rng.uniform(*PAUSE_S) * ESPEAK_RATE_HZ) if parts else 0, np.int16)
        start = at + len(pause)
        at = start + len(samples)
        parts += [pause, samples]
        times = {"start": round(start / ESPEAK_RATE_HZ, 4), "end": round(at / ESPEAK_RATE_HZ, 4)}
        segments.append({"speaker": tags[voice], **times})
    audio, text = f"audio/{dialogue.id}.flac", f"text/{dialogue.id}.txt"
    soundfile.write(
        out / audio, np.concatenate(parts), ESPEAK_RATE_HZ, subtype="PCM_16", format="FLAC"
    )
    lines = [f"[{tags[voice]}] {words}\n" for voice, words in dialogue.turns]
    (out / text).write_text("".join(lines), encoding="utf-8")
    people = ";".join(f"{tag}={voice.name}" for voice, tag in tags.items())
    return _Spoken(
        (dialogue.id, audio, text, str(len(tags)), f"{at / ESPEAK_RATE_HZ:.4f}", people), segments
    )


def _tags(dialogue: Dialogue) -> dict[Voice, str]:
    """SPEAKER_A is who speaks first."""
    voices = dict.fromkeys(voice for voice, _ in dialogue.turns)
    return {voice: f"SPEAKER_{chr(ord('A') + i)}" for i, voice in enumerate(voices)}

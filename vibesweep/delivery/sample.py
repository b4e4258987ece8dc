"""The first thing to hear after a sweep: the tuned model says what a held-out recording says."""

from __future__ import annotations

from pathlib import Path

from vibesweep.corpus.manifest import read_rows
from vibesweep.corpus.parquet import ShardRow
from vibesweep.delivery.synthesize import synthesize
from vibesweep.models.bundle import load_bundle
from vibesweep.sweep.record import SweepFolder

SAMPLE = "sample.wav"


def speak_sample(sweep: SweepFolder, bundle: Path) -> Path:
    """Speak the shortest held-out clip's text, in its people's voices, into the bundle's folder, and return the wav's path.

    VibeVoice takes voices from recordings, and shards hold none: it speaks with a voice of its own choice.
    """
    row = min(read_rows(sweep.read().shards, "val"), key=lambda clip: clip.duration_s)
    known = load_bundle(str(bundle)).voices
    people = dict.fromkeys(turn.speaker for turn in row.turns)
    synthesize(str(bundle), _script(row), bundle / SAMPLE, voices=[person for person in people if person in known])
    return bundle / SAMPLE


def _script(row: ShardRow) -> str:
    return "\n".join(f"[{turn.tag}] {turn.text}" for turn in row.turns)

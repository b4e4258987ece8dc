"""The first thing to hear after a sweep: the tuned model says what a held-out recording says."""

from __future__ import annotations

from pathlib import Path

from vibesweep.corpus.shards.manifest import read_table
from vibesweep.delivery.synthesize import synthesize
from vibesweep.models.bundle import checkpoint_address, load_bundle
from vibesweep.sweep.record.record import SweepFolder

SAMPLE = "sample.wav"
COLUMNS = ["duration_s", *(f"turns.list.element.{name}" for name in ("tag", "speaker", "text"))]


def speak_sample(sweep: SweepFolder, bundle: Path) -> Path:
    """Speak the shortest held-out clip's text, in its people's voices, into the bundle's folder, and return the wav's path.

    VibeVoice takes voices from recordings, and shards hold none: it speaks with voices of its own choice.
    """
    clips = read_table(sweep.read().shards, "val", COLUMNS).to_pylist()
    turns = min(clips, key=lambda clip: float(clip["duration_s"]))["turns"]
    known = {} if checkpoint_address(str(bundle)) else load_bundle(str(bundle)).voices
    people = dict.fromkeys(turn["speaker"] for turn in turns)
    script = "\n".join(f"[{turn['tag']}] {turn['text']}" for turn in turns)
    synthesize(
        str(bundle),
        script,
        bundle / SAMPLE,
        voices=[person for person in people if person in known],
    )
    return bundle / SAMPLE

"""The first thing to hear after a sweep: the tuned model says what a held-out recording says."""

from __future__ import annotations

from pathlib import Path

from vibesweep.corpus.shards.manifest import read_table
from vibesweep.delivery.synthesize import synthesize
from vibesweep.models.registry import ModelRef
from vibesweep.sweep.record.folder import SweepFolder

SAMPLE = "sample.wav"
TURN_COLUMNS = tuple(f"turns.list.element.{name}" for name in ("tag", "speaker", "text"))


def speak_sample(sweep: SweepFolder, bundle: Path) -> Path:
    """Speak the shortest held-out clip's text into the bundle's folder.

    The clip's people speak it, as far as the bundle knows their voices.

    Returns:
        The path of the wav file.
    """
    columns = ["duration_s", *TURN_COLUMNS]
    clips = read_table(sweep.read().shards, "val", columns).to_pylist()
    shortest = min(clips, key=lambda clip: float(clip["duration_s"]))
    turns = shortest["turns"]
    model = ModelRef.parse(str(bundle))
    known = model.family.voices(model.address)
    people = dict.fromkeys(turn["speaker"] for turn in turns)
    voices = [person for person in people if person in known]
    script = "\n".join(f"[{turn['tag']}] {turn['text']}" for turn in turns)
    synthesize(model, script, bundle / SAMPLE, voices=voices)
    return bundle / SAMPLE

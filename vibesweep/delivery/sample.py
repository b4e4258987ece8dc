"""The first thing to hear after a sweep: the tuned model says what a held-out recording says."""

from __future__ import annotations

import tempfile
from operator import itemgetter
from pathlib import Path

from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.shards.manifest import read_table
from vibesweep.delivery.quality.listening import base_voice
from vibesweep.delivery.synthesize import synthesize
from vibesweep.models.family import SpeakingSettings
from vibesweep.models.registry import ModelRef
from vibesweep.sweep.record.folder import SweepFolder

SAMPLE, SAMPLE_TEXT, BASE_SAMPLE = "sample.wav", "sample.txt", "base_sample.wav"
"""What is heard of the tuned model, what it says, and how its untouched base says it."""
TURN_COLUMNS = tuple(f"turns.list.element.{name}" for name in ("tag", "speaker", "text"))


def speak_sample(sweep: SweepFolder, bundle: Path) -> Path:
    """Speak the shortest held-out clip's text into the bundle's folder.

    The clip's people speak it, as far as the bundle knows their voices; another's lines are spoken
    by a voice of the bundle that is nobody's in the clip. The text and the untouched base's speech,
    in the same voices, lie beside it.

    Returns:
        The path of the wav file.
    """
    columns = ["duration_s", *TURN_COLUMNS]
    record = sweep.read()
    clips = read_table(record.shards, "val", columns)
    shortest = min(clips.to_pylist(), key=itemgetter("duration_s"))
    turns = [Turn(turn["tag"], turn["text"]) for turn in shortest["turns"]]
    model = ModelRef.parse(str(bundle))
    known = model.family.voices(model.address)
    voices = {}
    for turn in shortest["turns"]:
        if turn["speaker"] in known:
            voices[turn["tag"]] = turn["speaker"]
    out = bundle / SAMPLE
    synthesize(model, turns, out, voices=voices)
    lines = [f"[{turn.tag}] {turn.text}\n" for turn in turns]
    (bundle / SAMPLE_TEXT).write_text("".join(lines), encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
        base = base_voice(record.model, model, Path(scratch))
        settings = SpeakingSettings(language=base.language)
        synthesize(base.model, turns, bundle / BASE_SAMPLE, voices=voices, settings=settings)
    return out

"""The first thing to hear after a sweep: the tuned model says what a held-out recording says."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.shards.manifest import read_table
from vibesweep.delivery.synthesize import synthesize
from vibesweep.models.family import SpeakingSettings
from vibesweep.models.registry import ModelRef
from vibesweep.quality.listening import base_voice
from vibesweep.sweep.record.folder import BASE_SAMPLE, SAMPLE, SAMPLE_TEXT, SweepFolder
from vibesweep.sweep.record.record import SweepRecord

TURN_COLUMNS = tuple(f"turns.list.element.{name}" for name in ("tag", "speaker", "text"))


def speak_sample(sweep: SweepFolder, bundle: Path) -> Path:
    """Speak the shortest held-out clip's text into the bundle's folder.

    The clip's people speak it, as far as the bundle knows their voices; another's lines are spoken
    by a voice of the bundle that is nobody's in the clip. The text and the untouched base's speech,
    in the same voices, lie beside it.

    Returns:
        The path of the wav file.
    """
    record = sweep.read()
    clip = _shortest_clip(record)
    turns = [Turn(turn["tag"], turn["text"]) for turn in clip["turns"]]
    model = ModelRef.parse(str(bundle))
    voices = _known_voices(model, clip)
    out = bundle / SAMPLE
    synthesize(model, turns, out, voices=voices)
    _write_text(turns, bundle / SAMPLE_TEXT)
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
        base = base_voice(record.model, model, Path(scratch))
        settings = SpeakingSettings(language=base.language)
        base_out = bundle / BASE_SAMPLE
        synthesize(base.model, turns, base_out, voices=voices, settings=settings)
    return out


def _shortest_clip(record: SweepRecord) -> dict[str, Any]:
    """Return the length and the turns of the shortest held-out clip."""
    columns = ["duration_s", *TURN_COLUMNS]
    table = read_table(record.shards, "val", columns)
    clips = table.to_pylist()
    return min(clips, key=itemgetter("duration_s"))


def _known_voices(model: ModelRef, clip: dict[str, Any]) -> dict[str, str]:
    """Say which of the model's voices speaks each tag's lines, where it knows the person."""
    known = model.family.voices(model.address)
    voices = {}
    for turn in clip["turns"]:
        person = turn["speaker"]
        if person in known:
            voices[turn["tag"]] = person
    return voices


def _write_text(turns: Sequence[Turn], file: Path) -> None:
    lines = []
    for turn in turns:
        line = f"[{turn.tag}] {turn.text}\n"
        lines.append(line)
    text = "".join(lines)
    file.write_text(text, encoding="utf-8")

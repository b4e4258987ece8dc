"""What was heard and measured, as ``quality.json`` keeps it; docs/design/quality.md has its shape.

A report reads it without any of the packages that made it.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vibesweep.errors import ModelError
from vibesweep.quality.measures import Measure
from vibesweep.storage import StoragePath
from vibesweep.storage.json_text import parse_json

QUALITY_FILE = "quality.json"
VERSION = 1
RECORDING, BASE = "recording", "base"
"""Names of the two voices that every sweep is judged beside."""


def name_of_trial(number: int) -> str:
    """Return the name of the voice that a trial has trained."""
    return f"trial {number}"


@dataclass(frozen=True)
class Row:
    """One voice.

    Attributes:
        name: ``recording``, ``base``, ``trial 3`` or a model's name.
        by_text: for each text that it said, what was measured.
        audio: for each text, the sound file, from the folder of the JSON file.
    """

    name: str
    by_text: tuple[Mapping[str, float], ...]
    audio: tuple[str, ...]

    def mean(self, measure: str) -> float | None:
        """Return the mean of a measure over the texts that have one; None where none has."""
        values = self.values(measure)
        if not values:
            return None
        return statistics.fmean(values)

    def values(self, measure: str) -> list[float]:
        """Return a measure's values of the texts that have one."""
        found = []
        for scores in self.by_text:
            if measure in scores:
                found.append(scores[measure])
        return found


@dataclass(frozen=True)
class Quality:
    """All that was heard.

    Attributes:
        texts: what was said, by every voice.
        clips: the recordings' ids.
        measures: what was measured.
        rows: the voices: the recording, the base, then the others.
        verdict: what it means, in words.
        missing: what was not judged, and what to install for it; empty if all was.
        seed: of the noise, the same for all voices.
        key: what it depends on; made again when that changes.
    """

    texts: tuple[str, ...]
    clips: tuple[str, ...]
    measures: tuple[Measure, ...]
    rows: tuple[Row, ...]
    verdict: str
    missing: str = ""
    seed: int = 0
    key: str = ""


def write_quality(quality: Quality, file: StoragePath) -> None:
    """Write the JSON file in one move."""
    facts = asdict(quality)
    facts["version"] = VERSION
    rows = facts["rows"]
    for row, found in zip(quality.rows, rows, strict=True):
        means = {}
        for measure in quality.measures:
            means[measure.name] = row.mean(measure.name)
        found["measures"] = means
    text = json.dumps(
        facts,
        indent=1,
        ensure_ascii=False,
        allow_nan=False,
    )
    content = text.encode()
    file.write_bytes(content + b"\n")


def read_quality(file: StoragePath) -> Quality | None:
    """Read the JSON file; None where there is none.

    Raises:
        ModelError: it cannot be read, or is of another version.
    """
    if not file.is_file():
        return None
    try:
        found = parse_json(file.read_bytes())
        if found.pop("version") != VERSION:
            raise ValueError("it is of another version")
        return _from_json(found)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        fix = "remove it, and it is made again"
        raise ModelError(f"it cannot be read: {error}", where=str(file), fix=fix) from error


def _from_json(found: dict[str, Any]) -> Quality:
    measures = [Measure(**measure) for measure in found.pop("measures")]
    rows = []
    for row in found.pop("rows"):
        by_text = tuple(row["by_text"])
        audio = tuple(row["audio"])
        rows.append(Row(row["name"], by_text, audio))
    texts = found.pop("texts")
    clips = found.pop("clips")
    return Quality(
        texts=tuple(texts),
        clips=tuple(clips),
        measures=tuple(measures),
        rows=tuple(rows),
        **found,
    )

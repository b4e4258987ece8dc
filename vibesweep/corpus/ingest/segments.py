"""When the turns of recordings are spoken: segments.json beside a corpus's table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from vibesweep.corpus.ingest.rows import parse_row
from vibesweep.corpus.recordings import Segment
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.text.tag_forms import tag_of
from vibesweep.errors import CorpusError
from vibesweep.storage import StoragePath

SEGMENTS_FILE = "segments.json"


def read_segments(file: StoragePath) -> Mapping[str, Any]:
    """Read the entries of all ids, not yet checked; none where there is no file.

    Raises:
        CorpusError: the file cannot be read, or is not a JSON object.
    """
    if not file.is_file():
        return {}
    try:
        entries = parse_row(file.read_bytes().decode("utf-8-sig"))
    except (OSError, ValueError) as error:
        raise CorpusError(
            f"it is not JSON ({error})",
            where=str(file),
            fix="mend it, or remove it to have times estimated",
        ) from error
    if not isinstance(entries, dict):
        raise CorpusError(
            "it is not an object of ids",
            where=str(file),
            fix='write {"id": [{"speaker", "start", "end"}, ...]}',
        )
    return entries


def parse_segments(entries: Any, *, where: str) -> tuple[Segment, ...]:
    """Make segments of one recording's entries.

    Raises:
        RecordingError: an entry lacks something, or ends before it begins.
    """
    try:
        segments = tuple(_parse_segment(entry) for entry in entries)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RecordingError(
            "bad_segments", f"{type(error).__name__}: {error}", where=where
        ) from error
    for segment in segments:
        if not 0 <= segment.start_s < segment.end_s < math.inf:
            raise RecordingError(
                "bad_segments", f"from {segment.start_s} to {segment.end_s} s", where=where
            )
    return segments


def _parse_segment(entry: Any) -> Segment:
    tag = str(entry["speaker"])
    start_s = float(entry["start"])
    end_s = float(entry["end"])
    return Segment(tag_of(tag), start_s, end_s)

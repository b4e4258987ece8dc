"""vibesweep's own layout: a CSV table with a header, and segments.json beside it."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vibesweep.corpus.ingest.rows import address, checked_id, count, gather, people, seconds
from vibesweep.corpus.ingest.segments import SEGMENTS_FILE, parse_segments, read_segments
from vibesweep.corpus.recordings import Metadata, Recording, Segment
from vibesweep.corpus.rejects import RecordingError
from vibesweep.errors import CorpusError
from vibesweep.storage import StoragePath

COLUMNS = ("id", "audio_path", "text_path", "num_speakers", "duration_sec")
REQUIRED = COLUMNS[:3]
SPEAKERS_COLUMN = "speakers"
PROMPTS_COLUMN = "voice_prompts"

_KNOWN = {*COLUMNS, SPEAKERS_COLUMN, PROMPTS_COLUMN}

Cells = list[str] | csv.Error


def read_table(table: StoragePath, text: str) -> Metadata:
    """Recordings of a table with the columns ``id``, ``audio_path``, ``text_path`` and, where it is known, more.

    Raises:
        CorpusError: columns are missing or there twice, or there are no rows.
    """
    records = _records(text)
    names = _header(table, next(records, (1, []))[1])
    read = _reader(table, names)
    at = names.index("id")
    rows = (
        (line, cells[at].strip() if isinstance(cells, list) and at < len(cells) else "", cells)
        for line, cells in records
    )
    return gather(table, rows, read)


def _records(text: str) -> Iterator[tuple[int, Cells]]:
    """Rows that are not blank, each with the line it begins in, and the error of a line that is no CSV.

    Reading goes on in the line after such a one. Without that, and without ``strict``, a quote that somebody forgot to close would
    make one cell of all rows that follow.
    """
    lines = list(io.StringIO(text, newline=""))
    start = 0
    while start < len(lines):
        reader = csv.reader(map(lines.__getitem__, range(start, len(lines))), strict=True)
        begin = start
        try:
            for cells in reader:
                if cells:
                    yield begin + 1, cells
                begin = start + reader.line_num
            return
        except csv.Error as error:
            yield begin + 1, error
        start = begin + 1


def _header(table: StoragePath, cells: Cells) -> list[str]:
    if isinstance(cells, csv.Error):
        raise CorpusError(
            f"it cannot be read ({cells})", where=f"{table}:1", fix="save it as UTF-8 CSV"
        ) from cells
    names = [cell.strip() for cell in cells]
    lacking = [column for column in REQUIRED if column not in names]
    if lacking:
        fix = f"write a table with the columns {', '.join(COLUMNS)}, separated by commas, or one of LJSpeech's form"
        raise CorpusError(
            f"the columns {', '.join(lacking)} are missing", where=str(table), fix=fix
        )
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise CorpusError(
            f"the columns {', '.join(twice)} are there twice",
            where=str(table),
            fix="rename or remove one of each",
        )
    return names


def _reader(table: StoragePath, names: list[str]) -> Callable[[Cells], Recording]:
    """What makes a recording of one row."""
    folder = table.parent
    segments = read_segments(folder / SEGMENTS_FILE)
    # A column without a name is what pandas makes of its index and Excel of an empty one
    further = [name for name in names if name and name not in _KNOWN]

    def read(cells: Cells) -> Recording:
        row = _row(names, cells)
        name = checked_id(row["id"].strip())
        return Recording(
            id=name,
            audio=address(folder, row["audio_path"], "audio_path"),
            text=address(folder, row["text_path"], "text_path"),
            num_speakers=count(row.get("num_speakers", ""), "num_speakers"),
            duration_s=seconds(row.get("duration_sec", ""), "duration_sec"),
            speakers=_speakers(row.get(SPEAKERS_COLUMN, "")),
            segments=_segments(segments, name, folder),
            voice_prompts=_prompts(folder, row.get(PROMPTS_COLUMN, "")),
            extra=tuple((column, row[column]) for column in further),
        )

    return read


def _row(names: list[str], cells: Cells) -> Mapping[str, str]:
    if isinstance(cells, csv.Error):
        raise RecordingError("bad_row", f"it is not CSV: {cells}")
    if len(cells) != len(names):
        lines = 1 + sum(cell.count("\n") for cell in cells)
        spread = f" in {lines} lines" if lines > 1 else ""
        raise RecordingError("bad_row", f"{len(cells)} cells{spread}, the header has {len(names)}")
    return dict(zip(names, cells, strict=True))


@functools.lru_cache(maxsize=4096)  # a corpus has many rows and few pairs of people
def _speakers(cell: str) -> tuple[tuple[str, str], ...]:
    if not cell:
        return ()
    pairs = [entry.partition("=") for entry in cell.split(";") if entry.strip()]
    return people(((tag, person) for tag, _, person in pairs), cell)


def _segments(segments: Mapping[str, Any], name: str, folder: StoragePath) -> tuple[Segment, ...]:
    return (
        parse_segments(segments[name], where=f"{folder / SEGMENTS_FILE}, {name}")
        if name in segments
        else ()
    )


def _prompts(folder: StoragePath, cell: str) -> tuple[str, ...]:
    return (
        tuple(
            address(folder, prompt, PROMPTS_COLUMN) for prompt in cell.split(";") if prompt.strip()
        )
        if cell
        else ()
    )

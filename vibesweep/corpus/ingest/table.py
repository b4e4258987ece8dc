"""vibesweep's own layout: a CSV table with a header, and segments.json beside it."""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from vibesweep.corpus.ingest.rows import (
    TableRow,
    parse_address,
    parse_count,
    parse_id,
    parse_seconds,
    parse_speakers,
    read_rows,
)
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
"""The cells of a row, or why it is not CSV."""


def read_table(table: StoragePath, text: str) -> Metadata:
    """Read a table with the columns ``id``, ``audio_path``, ``text_path`` and, if known, more.

    Raises:
        CorpusError: columns are missing or there twice, or there are no rows.
    """
    lines = _read_csv(text)
    _, header = next(lines, (1, []))
    columns = _parse_header(table, header)
    id_index = columns.index("id")
    rows = (TableRow(line, _id_of(cells, id_index), cells) for line, cells in lines)
    read = _reader(table, columns)
    return read_rows(table, rows, read)


def _read_csv(text: str) -> Iterator[tuple[int, Cells]]:
    """Yield the rows that are not blank, each with the line it begins in.

    After a line that is not CSV, whose error is yielded, reading goes on in the next line. Without
    that, and without ``strict``, a quote that somebody forgot to close would make one cell of all
    rows that follow.
    """
    lines = list(io.StringIO(text, newline=""))
    start = 0
    while start < len(lines):
        rest = (lines[i] for i in range(start, len(lines)))
        reader = csv.reader(rest, strict=True)
        row_start = start
        try:
            for cells in reader:
                if cells:
                    yield row_start + 1, cells
                row_start = start + reader.line_num
            return
        except csv.Error as error:
            yield row_start + 1, error
        start = row_start + 1


def _id_of(cells: Cells, index: int) -> str:
    """Return the id in a row that may be broken, or an empty text."""
    if isinstance(cells, list) and index < len(cells):
        return cells[index].strip()
    return ""


def _parse_header(table: StoragePath, cells: Cells) -> list[str]:
    if isinstance(cells, csv.Error):
        raise CorpusError(
            f"it cannot be read ({cells})", where=f"{table}:1", fix="save it as UTF-8 CSV"
        ) from cells
    columns = [cell.strip() for cell in cells]
    missing = [column for column in REQUIRED if column not in columns]
    if missing:
        raise CorpusError(
            f"the columns {', '.join(missing)} are missing",
            where=str(table),
            fix=f"write a table with the columns {', '.join(COLUMNS)}, separated by commas, "
            "or one of LJSpeech's form",
        )
    named = [column for column in columns if column]
    twice = sorted({column for column in named if named.count(column) > 1})
    if twice:
        raise CorpusError(
            f"the columns {', '.join(twice)} are there twice",
            where=str(table),
            fix="rename or remove one of each",
        )
    return columns


def _reader(table: StoragePath, columns: list[str]) -> Callable[[Cells], Recording]:
    """Return a function that makes a recording of one row."""
    folder = table.parent
    segments = read_segments(folder / SEGMENTS_FILE)
    # pandas writes its index, and Excel an empty column, as a column without a name
    further = [column for column in columns if column and column not in _KNOWN]

    def read(cells: Cells) -> Recording:
        row = _row_by_column(columns, cells)
        name = parse_id(row["id"].strip())
        return Recording(
            id=name,
            audio=parse_address(folder, row["audio_path"], "audio_path"),
            text=parse_address(folder, row["text_path"], "text_path"),
            num_speakers=parse_count(row.get("num_speakers", ""), "num_speakers"),
            duration_s=parse_seconds(row.get("duration_sec", ""), "duration_sec"),
            speakers=_parse_people(row.get(SPEAKERS_COLUMN, "")),
            segments=_segments_of(name, segments, folder),
            voice_prompts=_parse_prompts(folder, row.get(PROMPTS_COLUMN, "")),
            extra=tuple((column, row[column]) for column in further),
        )

    return read


def _row_by_column(columns: list[str], cells: Cells) -> Mapping[str, str]:
    if isinstance(cells, csv.Error):
        raise RecordingError("bad_row", f"it is not CSV: {cells}")
    if len(cells) != len(columns):
        lines = 1 + sum(cell.count("\n") for cell in cells)
        spread = f" in {lines} lines" if lines > 1 else ""
        raise RecordingError(
            "bad_row", f"{len(cells)} cells{spread}, the header has {len(columns)}"
        )
    return dict(zip(columns, cells, strict=True))


@functools.lru_cache(maxsize=4096)  # a corpus has many rows and few pairs of people
def _parse_people(cell: str) -> tuple[tuple[str, str], ...]:
    """Parse ``SPEAKER_A=Ann;SPEAKER_B=Bo``."""
    if not cell:
        return ()
    pairs = []
    for entry in cell.split(";"):
        tag, _, person = entry.partition("=")
        if entry.strip():
            pairs.append((tag, person))
    return parse_speakers(pairs, cell)


def _segments_of(
    name: str, segments: Mapping[str, Any], folder: StoragePath
) -> tuple[Segment, ...]:
    if name not in segments:
        return ()
    return parse_segments(segments[name], where=f"{folder / SEGMENTS_FILE}, {name}")


def _parse_prompts(folder: StoragePath, cell: str) -> tuple[str, ...]:
    prompts = [prompt for prompt in cell.split(";") if prompt.strip()]
    addresses = [parse_address(folder, prompt, PROMPTS_COLUMN) for prompt in prompts]
    return tuple(addresses)

"""Tables of one row a recording: CSV with a header, or LJSpeech's form without one.

Source of the latter: README of LJSpeech-1.1, https://keithito.com/LJ-Speech-Dataset: no header, no
quoting, one speaker.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vibesweep.corpus.ingest.audio_names import AudioFolder, ending_of
from vibesweep.corpus.ingest.columns import (
    AUDIO,
    ID,
    RAW,
    SPEAKER,
    TEXT,
    TEXT_PATH,
    UNUSED,
    Column,
)
from vibesweep.corpus.ingest.recording_names import names_of
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
from vibesweep.corpus.ingest.sheet import Cells, Sheet
from vibesweep.corpus.ingest.table_columns import columns_of
from vibesweep.corpus.recordings import DEFAULT_TAG, Metadata, Reading, Recording, Segment
from vibesweep.corpus.rejects import RecordingError
from vibesweep.storage import StoragePath

COLUMNS = ("id", "audio_path", "text_path", "num_speakers", "duration_sec")
SPEAKERS_COLUMN = "speakers"
PROMPTS_COLUMN = "voice_prompts"


@dataclass(frozen=True)
class _NamedRow:
    """A row with the id that its recording gets, and what names its audio."""

    id: str
    audio: str
    cells: Cells


def read_table(table: StoragePath, sheet: Sheet, names: Sequence[str] = ()) -> Metadata:
    """Read a table whose columns a header names, or their content shows.

    Args:
        table: where it is.
        sheet: its rows.
        names: of the columns, where somebody has named them.

    Raises:
        CorpusError: columns are missing, there twice or in doubt, or there are no rows.
    """
    audio_folder = AudioFolder(table.parent)
    sheet, columns = columns_of(table, sheet, names, audio_folder)
    reader = _RowReader(table.parent, columns, audio_folder)
    rows = reader.named(sheet)
    found = read_rows(table, rows, reader.read)
    shown = [str(column) for column in columns if column not in reader.further]
    reading = Reading(_layout(sheet), tuple(shown))
    return replace(found, reading=reading)


def _layout(sheet: Sheet) -> str:
    if sheet.header is not None:
        return "table with header"
    return "LJSpeech table without header" if sheet.separator == "|" else "table without header"


class _RowReader:
    """Makes recordings of the rows of a table."""

    def __init__(
        self, folder: StoragePath, columns: Sequence[Column], audio_folder: AudioFolder
    ) -> None:
        self._folder = folder
        self._roles = [column.role for column in columns]
        # pandas writes its index, and Excel an empty column, as a column without a name
        self.further = [
            column
            for column in columns
            if column.role == UNUSED and column.name not in ("", UNUSED)
        ]
        self._columns = columns
        self._id_role = ID if ID in self._roles else AUDIO
        self._audio_role = AUDIO if AUDIO in self._roles else ID
        self._audio_folder = audio_folder
        self._segments = read_segments(folder / SEGMENTS_FILE)

    def named(self, sheet: Sheet) -> list[TableRow[_NamedRow]]:
        """Give each row its id: its own, or that of its audio."""
        own_ids = []
        audios = []
        for _, cells in sheet.rows:
            own_ids.append(self._own_id(cells))
            audios.append(self._address_or_nothing(cells))
        ids = names_of(self._folder, own_ids, audios)
        rows = []
        for (line, cells), name, audio in zip(sheet.rows, ids, audios, strict=True):
            named = _NamedRow(name, audio, cells)
            rows.append(TableRow(line, name, named))
        return rows

    def _own_id(self, cells: Cells) -> str | None:
        """Return a row's own id; ``None`` where it is to be named after its audio file."""
        index = self._roles.index(self._id_role)
        if isinstance(cells, csv.Error) or index >= len(cells):
            return ""
        cell = cells[index].strip()
        is_file_name = self._id_role == self._audio_role and ending_of(cell)
        return None if is_file_name else cell

    def _address_or_nothing(self, cells: Cells) -> str:
        """Return the audio file's address; what is wrong with it is told when the row is read."""
        if isinstance(cells, csv.Error) or len(cells) != len(self._roles):
            return ""
        try:
            return self._audio_address(dict(zip(self._roles, cells, strict=True)))
        except RecordingError:
            return ""

    def _audio_address(self, row: Mapping[str, str]) -> str:
        cell = row[self._audio_role].strip()
        address = parse_address(self._folder, cell, self._audio_role)
        found = self._audio_folder.find(cell)
        if found is not None:
            return found.address
        is_elsewhere = cell.startswith("/") or "://" in cell
        return address if is_elsewhere else self._audio_folder.expected(cell).address

    def read(self, named: _NamedRow) -> Recording:
        """Make a recording of one row.

        Raises:
            RecordingError: cells are missing, or hold what cannot be read.
        """
        cells = self._checked(named.cells)
        row = dict(zip(self._roles, cells, strict=True))
        name = parse_id(named.id)
        audio = named.audio or self._audio_address(row)
        is_apart = TEXT_PATH in row and TEXT not in row
        text = parse_address(self._folder, row[TEXT_PATH], TEXT_PATH) if is_apart else ""
        return Recording(
            id=name,
            audio=audio,
            text=text,
            words=None if is_apart else _words(row),
            num_speakers=parse_count(row.get("num_speakers", ""), "num_speakers"),
            duration_s=parse_seconds(row.get("duration_sec", ""), "duration_sec"),
            speakers=self._people(row),
            segments=_segments_of(name, self._segments, self._folder),
            voice_prompts=_parse_prompts(self._folder, row.get(PROMPTS_COLUMN, "")),
            extra=self._extra(cells),
        )

    def _extra(self, cells: Sequence[str]) -> tuple[tuple[str, str], ...]:
        """Return the names and values of further columns."""
        extra = []
        for column, cell in zip(self._columns, cells, strict=True):
            if column in self.further:
                extra.append((column.name, cell))
        return tuple(extra)

    def _checked(self, cells: Cells) -> list[str]:
        if isinstance(cells, csv.Error):
            raise RecordingError("bad_row", f"it is not CSV: {cells}")
        if len(cells) != len(self._roles):
            lines = 1 + sum(cell.count("\n") for cell in cells)
            spread = f" in {lines} lines" if lines > 1 else ""
            raise RecordingError(
                "bad_row", f"{len(cells)} cells{spread}, the table has {len(self._roles)} columns"
            )
        return cells

    def _people(self, row: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
        """Return who speaks: by the row, or one person who is called as the folder is."""
        if SPEAKERS_COLUMN in row:
            return _parse_people(row[SPEAKERS_COLUMN])
        if SPEAKER in row:
            person = row[SPEAKER].strip()
            if not person:
                raise RecordingError("bad_row", "speaker is empty")
            return ((DEFAULT_TAG, person),)
        has_folder_name = TEXT in row and self._folder.name
        return ((DEFAULT_TAG, self._folder.name),) if has_folder_name else ()


def _words(row: Mapping[str, str]) -> str:
    words = row[TEXT].strip() or row.get(RAW, "").strip()
    if not words:
        raise RecordingError("bad_row", "text is empty")
    return words


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

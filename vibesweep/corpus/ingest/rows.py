"""What the layouts of a corpus share: rows become recordings and rejects, and none is lost."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from vibesweep.corpus.recordings import Metadata, Recording
from vibesweep.corpus.rejects import RecordingError, Reject
from vibesweep.corpus.text.tag_forms import tag_of
from vibesweep.errors import CorpusError
from vibesweep.storage import StoragePath
from vibesweep.storage.json_text import parse_json

Row = TypeVar("Row")

CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_EXCERPT_LENGTH = 80  # characters


@dataclass(frozen=True)
class TableRow(Generic[Row]):
    """A row of a table: its line, its id as far as that is known, and what stands there."""

    line: int
    id: str
    content: Row


def read_rows(
    table: StoragePath, rows: Iterable[TableRow[Row]], read: Callable[[Row], Recording]
) -> Metadata:
    """Make recordings and rejects of the rows of a table, together as many as there are rows.

    Args:
        table: where the rows stand, for the messages.
        rows: what to read.
        read: makes a recording of a row's content, or raises a ``RecordingError``.

    Raises:
        CorpusError: there are no rows.
    """
    recordings: list[Recording] = []
    rejects: list[Reject] = []
    lines: dict[str, int] = {}
    for row in rows:
        try:
            recording = read(row.content)
            _refuse_duplicate(recording.id, row.line, lines)
        except RecordingError as error:
            where = error.where or f"{table}:{row.line}"
            rejects.append(Reject(row.id, where, error.reason, error.detail))
        else:
            recordings.append(recording)
    if not recordings and not rejects:
        raise CorpusError("it has no rows", where=str(table), fix="add one row for each recording")
    return Metadata(tuple(recordings), tuple(rejects))


def _refuse_duplicate(name: str, line: int, lines: dict[str, int]) -> None:
    """Note the line of an id, unless an earlier line has it."""
    first = lines.setdefault(name, line)
    if first != line:
        raise RecordingError("duplicate_id", f"{excerpt(name)}, first in line {first}")


def numbered_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers from 1.

    Only a line feed ends a line: spoken text may hold any other separator.
    """
    for number, line in enumerate(text.split("\n"), 1):
        if line and not line.isspace():
            yield number, line.removesuffix("\r")


def parse_row(text: str) -> Any:
    """Parse the JSON text of a row.

    Raises:
        ValueError: it is not JSON, nested too deeply to be read, or has half a surrogate pair,
            which cannot be written to any file.
    """
    value = parse_json(text)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()
    return value


def parse_id(name: str) -> str:
    """Return an id, if it can be one.

    Raises:
        RecordingError: it is empty or has control characters.
    """
    if not name or CONTROL_CHARACTERS.search(name):
        raise RecordingError("bad_row", f"id is {excerpt(name)}")
    return name


def parse_address(folder: StoragePath, cell: object, column: str) -> str:
    """Return the address of a file that a cell names.

    Args:
        folder: the table's folder, which relative paths start from.
        cell: a relative path, an absolute path or a URI.
        column: for the message.

    Raises:
        RecordingError: it is no text, empty, or has control characters, which a quote that is left
            open brings in.
    """
    name = cell.strip() if isinstance(cell, str) else ""
    if not name or CONTROL_CHARACTERS.search(name):
        raise RecordingError("bad_row", f"{column} is {excerpt(cell)}")
    return (folder / name).address


def parse_count(cell: object, column: str) -> int | None:
    """Return a whole number from 1 up, which pandas may have written as ``2.0``.

    An empty cell is ``None``.

    Raises:
        RecordingError: the cell holds anything else.
    """
    number = parse_seconds(cell, column)
    if number is None:
        return None
    if not number.is_integer():
        raise RecordingError("bad_row", f"{column} is {excerpt(cell)}")
    return int(number)


def parse_seconds(cell: object, column: str) -> float | None:
    """Return a number above 0; ``None`` for an empty cell.

    Raises:
        RecordingError: the cell holds anything else.
    """
    text = "" if cell is None else str(cell).strip()
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise RecordingError("bad_row", f"{column} is {excerpt(cell)}")
    return number


def parse_speakers(pairs: Iterable[tuple[str, str]], cell: object) -> tuple[tuple[str, str], ...]:
    """Return (tag, person) pairs, the tags in capitals as turns have them.

    ``Speaker 1`` becomes ``SPEAKER_1``.

    Args:
        pairs: as the table has them.
        cell: what the message shows.

    Raises:
        RecordingError: a tag or a person is empty, or a tag is there twice.
    """
    speakers = [(tag_of(tag), person.strip()) for tag, person in pairs]
    tags = {tag for tag, _ in speakers}
    is_complete = all(tag and person for tag, person in speakers)
    if len(tags) < len(speakers) or not is_complete:
        detail = f"speakers is {excerpt(cell)}, not one person for each tag"
        raise RecordingError("bad_row", detail)
    return tuple(speakers)


def excerpt(value: object) -> str:
    """Show the beginning of a value: a quote left open can make a cell of half a file."""
    text = repr(value[:_EXCERPT_LENGTH]) if isinstance(value, str) else repr(value)
    if len(text) <= _EXCERPT_LENGTH:
        return text
    return f"{text[:_EXCERPT_LENGTH]}..."

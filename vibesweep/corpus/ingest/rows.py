"""What the layouts of a corpus share: how a row's values are read, and how rows become recordings and rejects, none of them lost."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from vibesweep.corpus.recordings import Metadata, Recording
from vibesweep.corpus.rejects import RecordingError, Reject
from vibesweep.errors import CorpusError
from vibesweep.storage import StoragePath

Row = TypeVar("Row")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_NUMBERED = re.compile(r"^SPEAKER\s+")
_SHOWN = 80  # characters


def gather(
    table: StoragePath, rows: Iterable[tuple[int, str, Row]], read: Callable[[Row], Recording]
) -> Metadata:
    """Recordings and rejects of a table; as many as it has rows.

    Args:
        table: for the messages.
        rows: line, the id as far as it is known, and what stands there.
        read: makes a recording of a row, or raises a ``RecordingError``.

    Raises:
        CorpusError: there are no rows.
    """
    recordings: list[Recording] = []
    rejects: list[Reject] = []
    lines: dict[str, int] = {}
    for line, name, row in rows:
        try:
            recording = read(row)
            first = lines.setdefault(recording.id, line)
            if first != line:
                raise RecordingError(
                    "duplicate_id", f"{shown(recording.id)}, first in line {first}"
                )
            recordings.append(recording)
        except RecordingError as error:
            rejects.append(
                Reject(name, error.where or f"{table}:{line}", error.reason, error.detail)
            )
    if not recordings and not rejects:
        raise CorpusError("it has no rows", where=str(table), fix="add one row for each recording")
    return Metadata(tuple(recordings), tuple(rejects))


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, by number from 1. Only a line feed ends one: spoken text may hold any other separator."""
    for number, line in enumerate(text.split("\n"), 1):
        if line and not line.isspace():
            yield number, line.removesuffix("\r")


def parse_json(text: str) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: it is not JSON, nested too deeply to be read, or has half a surrogate pair, which no file could be written with.
    """
    try:
        found = json.loads(text)
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return found


def checked_id(name: str) -> str:
    """An id, if it can be one.

    Raises:
        RecordingError: it is empty or has control characters.
    """
    if not name or _CONTROL.search(name):
        raise RecordingError("bad_row", f"id is {shown(name)}")
    return name


def address(folder: StoragePath, cell: object, column: str) -> str:
    """The address of a file that a cell names: from the table's folder, an absolute path or a URI.

    Raises:
        RecordingError: it is no text, empty, or has control characters, which a quote that is left open brings in.
    """
    name = cell.strip() if isinstance(cell, str) else ""
    if not name or _CONTROL.search(name):
        raise RecordingError("bad_row", f"{column} is {shown(cell)}")
    return (folder / name).address


def count(cell: object, column: str) -> int | None:
    """A whole number from 1 up, which pandas may have written as ``2.0``; ``None`` for an empty cell.

    Raises:
        RecordingError: it is none.
    """
    found = seconds(cell, column)
    if found is not None and not found.is_integer():
        raise RecordingError("bad_row", f"{column} is {shown(cell)}")
    return None if found is None else int(found)


def seconds(cell: object, column: str) -> float | None:
    """A number above 0; ``None`` for an empty cell.

    Raises:
        RecordingError: it is none.
    """
    text = "" if cell is None else str(cell).strip()
    if not text:
        return None
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < math.inf:
        raise RecordingError("bad_row", f"{column} is {shown(cell)}")
    return found


def people(pairs: Iterable[tuple[str, str]], cell: object) -> tuple[tuple[str, str], ...]:
    """(tag, person) pairs, the tags as turns have them: in capitals, ``Speaker 1`` as ``SPEAKER_1``.

    Args:
        pairs: as the table has them.
        cell: what the message shows.

    Raises:
        RecordingError: a tag or a person is empty, or a tag is there twice.
    """
    found = tuple(
        (_NUMBERED.sub("SPEAKER_", tag.strip().upper()), person.strip()) for tag, person in pairs
    )
    if len(dict(found)) < len(found) or not all(tag and person for tag, person in found):
        raise RecordingError("bad_row", f"speakers is {shown(cell)}, not one person for each tag")
    return found


def shown(value: object) -> str:
    """A value as a message shows it: a quote left open can make a cell of half a file."""
    text = repr(value) if not isinstance(value, str) else repr(value[:_SHOWN])
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."

"""The rows and cells of a table, whatever stands between them."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from vibesweep.corpus.ingest.columns import is_header
from vibesweep.corpus.ingest.rows import numbered_lines

Cells = list[str] | csv.Error
"""The cells of a row, or why it is not CSV."""

SEPARATORS = (",", "\t", ";", "|")
_UNQUOTED = ("\t", "|")
"""Signs that texts seldom hold, so that programs put no quotes around cells."""


@dataclass(frozen=True)
class Sheet:
    """A table as it is written.

    Attributes:
        separator: one of :data:`SEPARATORS`.
        header: the names of the columns; ``None`` where the first row is a recording's.
        rows: (line, cells) of each row below the header that is not blank.
    """

    separator: str
    header: Cells | None
    rows: tuple[tuple[int, Cells], ...]

    @property
    def width(self) -> int:
        """How many columns there are: as the header has them, or else most of the rows."""
        if isinstance(self.header, list):
            return len(self.header)
        widths = [len(cells) for _, cells in self.rows if isinstance(cells, list)]
        several = [width for width in widths if width > 1] or widths or [0]
        [(most, _)] = Counter(several).most_common(1)
        return most

    def whole_rows(self) -> list[list[str]]:
        """Return the cells of the rows that have them all."""
        width = self.width
        rows = [cells for _, cells in self.rows if isinstance(cells, list)]
        return [cells for cells in rows if len(cells) == width]

    def with_header(self) -> Sheet:
        """Take the first row for a header."""
        (_, header), *rows = self.rows
        return replace(self, header=header, rows=tuple(rows))


def read_sheet(text: str) -> Sheet:
    """Split a text into rows and cells.

    Between pipes or tabs without a header a quote is a letter, as in LJSpeech.
    """
    _, line = next(numbered_lines(text), (1, ""))
    first_line = line.partition("\r")[0]
    for separator in SEPARATORS:
        if is_header(first_line.split(separator)):
            rows = _rows(text, separator, has_quotes=True)
            return Sheet(separator, None, rows).with_header()
    separator = _separator(first_line)
    return Sheet(separator, None, _rows(text, separator, has_quotes=False))


def _separator(first_line: str) -> str:
    """Choose the sign of a table without a header: a comma is the likeliest to be in a text."""
    for separator in ("|", "\t", ";"):
        if separator in first_line:
            return separator
    return ","


def _rows(text: str, separator: str, *, has_quotes: bool) -> tuple[tuple[int, Cells], ...]:
    if separator not in _UNQUOTED:
        return tuple(_read_csv(text, separator))
    rows = []
    width = 0
    for number, line in numbered_lines(text):
        cells = line.split(separator)
        width = width or len(cells)
        if has_quotes:
            cells = _unquoted(line, cells, separator, width)
        rows.append((number, [cell.strip() for cell in cells]))
    return tuple(rows)


def _unquoted(line: str, cells: list[str], separator: str, width: int) -> list[str]:
    """Take off the quotes that a program has put around cells; those of a text stay."""
    if '"' not in line:
        return cells
    if len(cells) != width:
        try:
            [quoted] = csv.reader([line], delimiter=separator, strict=True)
        except (csv.Error, ValueError):
            return cells
        return quoted if len(quoted) == width else cells
    return [_without_quotes(cell) for cell in cells]


def _without_quotes(cell: str) -> str:
    """Read a cell as CSV where its inner quotes are doubled, which no text does by itself."""
    inner = cell[1:-1]
    is_quoted = len(cell) > 2 and cell[0] == cell[-1] == '"'
    if not is_quoted or '""' not in inner or '"' in inner.replace('""', ""):
        return cell
    return inner.replace('""', '"')


def _read_csv(text: str, separator: str) -> Iterator[tuple[int, Cells]]:
    """Yield the rows that are not blank, each with the line it begins in.

    After a line that is not CSV, whose error is yielded, reading goes on in the next line. Without
    that, and without ``strict``, a quote that somebody forgot to close would make one cell of all
    rows that follow.
    """
    lines = list(io.StringIO(text, newline=""))
    start = 0
    while start < len(lines):
        rest = (lines[i] for i in range(start, len(lines)))
        reader = csv.reader(rest, delimiter=separator, strict=True)
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

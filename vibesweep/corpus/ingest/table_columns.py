"""Decides what the columns of a table hold: by --columns, by its header, or by their content."""

from __future__ import annotations

import csv
from collections.abc import Sequence

from vibesweep.corpus.ingest.audio_names import AudioFolder
from vibesweep.corpus.ingest.columns import (
    Column,
    columns_of_header,
    columns_of_option,
    refuse_incomplete,
)
from vibesweep.corpus.ingest.guess import DoubtError, IsThere, guess_roles, looks_like_header
from vibesweep.corpus.ingest.sheet import Sheet
from vibesweep.errors import CorpusError
from vibesweep.storage import StoragePath

_GUESSED = ("|", "\t")
"""Signs between cells that texts seldom hold, so that a table needs no header."""

_EXAMPLE = "`vibesweep preprocess CORPUS OUT --columns {}`"


def columns_of(
    table: StoragePath, sheet: Sheet, names: Sequence[str], audio_folder: AudioFolder
) -> tuple[Sheet, list[Column]]:
    """Return a table without its header, if it has one, and its columns.

    Raises:
        CorpusError: columns are missing, there twice or in doubt.
    """
    header = _checked_header(table, sheet)
    whole = sheet.whole_rows()

    def is_there(cell: str) -> bool:
        return audio_folder.find(cell) is not None

    is_unnamed = header is None and len(whole) > 1 and sheet.width > 1
    has_unknown_header = is_unnamed and looks_like_header(whole, is_there)
    if names:
        if has_unknown_header and whole[0] == sheet.rows[0][1]:
            sheet = sheet.with_header()
            header = whole[0]
        return sheet, columns_of_option(names, sheet.width, header or ())
    if header is not None:
        return sheet, columns_of_header(header, str(table))
    if sheet.width < 2 or sheet.separator not in _GUESSED:
        refuse_incomplete([], str(table))
    if has_unknown_header:
        raise _unknown_header(table, whole, is_there)
    try:
        roles = guess_roles(whole, is_there)
    except DoubtError as doubt:
        raise CorpusError(doubt.found, where=str(table), fix=_fix(doubt.choices)) from doubt
    return sheet, [Column(role) for role in roles]


def _checked_header(table: StoragePath, sheet: Sheet) -> list[str] | None:
    if isinstance(sheet.header, csv.Error):
        raise CorpusError(
            f"it cannot be read ({sheet.header})", where=f"{table}:1", fix="save it as UTF-8 CSV"
        ) from sheet.header
    return sheet.header


def _unknown_header(
    table: StoragePath, rows: Sequence[Sequence[str]], is_there: IsThere
) -> CorpusError:
    header, *others = rows
    try:
        choices = [guess_roles(others, is_there)]
    except DoubtError as doubt:
        choices = [list(choice) for choice in doubt.choices]
    named = ", ".join(header)
    return CorpusError(
        f"its first row looks like a header, whose names are not known ({named})",
        where=str(table),
        fix=_fix(choices),
    )


def _fix(choices: Sequence[Sequence[str]]) -> str:
    listed = [_EXAMPLE.format(",".join(choice)) for choice in choices]
    return f"say what they hold: {' or '.join(listed)}"

"""Says what the columns of a table without a header hold, by what is in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import combinations

from vibesweep.corpus.ingest.audio_names import ending_of
from vibesweep.corpus.ingest.column_content import ColumnContent, Kind, are_similar
from vibesweep.corpus.ingest.columns import AUDIO, ID, RAW, SPEAKER, TEXT, UNUSED

LOOKED_AT = 2_000  # rows whose files are looked for
_WORD_OF_A_HEADER = re.compile(r"[^\W\d]+([ _-][^\W\d]+)*")
_LONGEST_HEADER_WORD = 30

Roles = dict[int, str]
"""What columns hold, by their indices; those that are not used are not in it."""

IsThere = Callable[[str], bool]
"""Whether a cell names a recording's file."""


class DoubtError(Exception):
    """Columns that may be one thing or another.

    Attributes:
        found: what they look like, as a clause.
        choices: what they may be; each names every column.
    """

    def __init__(self, found: str, choices: Sequence[Sequence[str]]) -> None:
        super().__init__(found)
        self.found = found
        self.choices = choices


class _Unclear(Exception):  # noqa: N818 - becomes a DoubtError
    """What is not clear about columns."""


def guess_roles(rows: Sequence[Sequence[str]], is_there: IsThere) -> list[str]:
    """Say what each column holds.

    Args:
        rows: of the same number of cells each, two or more.
        is_there: tells whether a cell names a recording's file.

    Raises:
        DoubtError: the columns may be one thing or another.
    """
    columns = _columns(rows)
    audio = _audio_column(columns, is_there)
    others = [column for column in columns if column is not audio]
    role = AUDIO if 2 * _endings(audio.values) > len(rows) else ID
    roles: Roles = {}
    for column in others[:-1]:
        if role == AUDIO and _names_files(column, is_there):
            roles[column.index] = ID  # beside a column of paths
            others.remove(column)
            break
    try:
        roles |= _one_other(others[0]) if len(others) == 1 else _several_others(others)
    except _Unclear as unclear:
        looks = ", ".join(str(column) for column in others)
        found = f"it is not clear what its columns hold: {unclear}; {looks}"
        raise DoubtError(found, _choices(columns, others, audio.index, role)) from unclear
    roles[audio.index] = role
    return _listed(roles, len(columns))


def _columns(rows: Sequence[Sequence[str]]) -> list[ColumnContent]:
    columns = zip(*rows, strict=True)
    return [ColumnContent.of(i, values) for i, values in enumerate(columns)]


def _listed(roles: Roles, count: int) -> list[str]:
    return [roles.get(i, UNUSED) for i in range(count)]


def _audio_column(columns: Sequence[ColumnContent], is_there: IsThere) -> ColumnContent:
    """Return the column that names the recordings' files; the first if none does."""

    def evidence(column: ColumnContent) -> tuple[int, int]:
        files = _files(column, is_there)
        return files, _endings(column.values)

    return max(columns, key=evidence)


def _names_files(column: ColumnContent, is_there: IsThere) -> bool:
    """Tell whether most values are ids of recordings too."""
    looked_at = min(len(column.values), LOOKED_AT)
    return 2 * _files(column, is_there) > looked_at


def _files(column: ColumnContent, is_there: IsThere) -> int:
    """Count cells that name a recording's file."""
    values = column.values[:LOOKED_AT]
    return sum(is_there(value) for value in values)


def _endings(values: Sequence[str]) -> int:
    """Count names of audio files."""
    return sum(bool(ending_of(value)) for value in values)


def _one_other(column: ColumnContent) -> Roles:
    """Take the only further column for text, unless it can be none."""
    is_single = len(column.values) == 1
    has_codes = column.kind == Kind.SPEAKER and column.holds_codes
    has_labels = column.kind in (Kind.LABEL, Kind.NUMBER)
    if has_codes or (has_labels and not is_single):
        raise _Unclear("no column looks like text")
    return {column.index: TEXT}


def _several_others(columns: Sequence[ColumnContent]) -> Roles:
    """Tell text from people, and find the normalised one of two texts."""
    roles = _same_text_twice(columns)
    if not roles:
        text = _text_column(columns)
        roles = {text.index: TEXT}
    left = [column for column in columns if column.index not in roles]
    speakers = _speaker_columns(left)
    _refuse_unclear(left, speakers)
    for column in speakers:
        roles[column.index] = SPEAKER
    return roles


def _same_text_twice(columns: Sequence[ColumnContent]) -> Roles:
    """Find a text and, after it, its normalised form."""
    likely = _of_kinds(columns, Kind.TEXT, Kind.EITHER)
    if len(_of_kinds(columns, Kind.SPEAKER)) == len(columns):
        likely = list(columns)  # single words that recur
    for first, second in combinations(likely, 2):
        if are_similar(first, second):
            return {first.index: RAW, second.index: TEXT}
    return {}


def _of_kinds(columns: Sequence[ColumnContent], *kinds: Kind) -> list[ColumnContent]:
    return [column for column in columns if column.kind in kinds]


def _text_column(columns: Sequence[ColumnContent]) -> ColumnContent:
    """Find the one column that is text."""
    texts = _of_kinds(columns, Kind.TEXT)
    candidates = texts or _of_kinds(columns, Kind.EITHER)
    if not candidates:
        raise _Unclear("no column looks like text")
    if len(candidates) > 1:
        raise _Unclear("more than one column may be the text")
    return candidates[0]


def _speaker_columns(columns: Sequence[ColumnContent]) -> list[ColumnContent]:
    """Find columns of people: short names, or else long ones that recur often."""
    short = _of_kinds(columns, Kind.SPEAKER)
    if short:
        return short
    either = _of_kinds(columns, Kind.EITHER)
    return [column for column in either if column.recurs_often]


def _refuse_unclear(left: Sequence[ColumnContent], speakers: Sequence[ColumnContent]) -> None:
    """Refuse columns beside the text that may be people or something else."""
    further = [column for column in left if column not in speakers]
    unclear = _of_kinds(further, Kind.TEXT, Kind.EITHER)
    if len(speakers) > 1 or unclear:
        raise _Unclear("more than one column may be text or people")
    labels = _of_kinds(further, Kind.LABEL, Kind.NUMBER)
    if labels and not speakers:
        number = labels[0].index + 1
        raise _Unclear(f"column {number} may be people or something else")


def _choices(
    columns: Sequence[ColumnContent], others: Sequence[ColumnContent], audio: int, role: str
) -> list[list[str]]:
    """List what the columns may be."""
    orders: list[tuple[str, ...]] = [(TEXT,)]
    if len(others) > 1:
        orders = [(TEXT, SPEAKER), (SPEAKER, TEXT)]
    if len(others) == 2:
        orders += [(RAW, TEXT), (TEXT, UNUSED)]
    choices = []
    for order in orders:
        roles = {audio: role}
        for column, meant in zip(others, order, strict=False):
            roles[column.index] = meant
        choices.append(_listed(roles, len(columns)))
    return choices


def looks_like_header(rows: Sequence[Sequence[str]], is_there: IsThere) -> bool:
    """Tell whether the first row names columns in words that are not known.

    That is so where it has no recording while most other rows do, and its cells are words that no
    other row has.
    """
    first, *others = rows
    if not others or any(is_there(cell) for cell in first):
        return False
    columns = _columns(others)
    audio = _audio_column(columns, is_there)
    if not _names_files(audio, is_there):
        return False
    return all(
        _is_header_word(cell) and cell not in column.values
        for cell, column in zip(first, columns, strict=True)
    )


def _is_header_word(cell: str) -> bool:
    is_short = len(cell) <= _LONGEST_HEADER_WORD
    return is_short and _WORD_OF_A_HEADER.fullmatch(cell) is not None

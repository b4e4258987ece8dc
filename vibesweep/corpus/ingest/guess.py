"""Says what the columns of a table without a header hold, by what is in them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import combinations

from vibesweep.corpus.ingest.audio_names import ending_of
from vibesweep.corpus.ingest.column_content import Kind, are_similar, kind_of, recurs_often
from vibesweep.corpus.ingest.columns import AUDIO, ID, RAW, SPEAKER, TEXT, UNUSED

LOOKED_AT = 2_000  # rows whose files are looked for
_CODE = re.compile(r"\w*[\d_]\w*")  # p225, spk_1, 4
_WORD_OF_A_HEADER = re.compile(r"[^\W\d]+([ _-][^\W\d]+)*")
_LONGEST_HEADER_WORD = 30

Columns = list[list[str]]
Roles = dict[int, str]
IsThere = Callable[[str], bool]


class DoubtError(Exception):
    """Columns that may be one thing or another.

    Attributes:
        found: what they look like, as a clause.
        choices: what they may be, the likelier first; each names every column.
    """

    def __init__(self, found: str, choices: Sequence[Sequence[str]]) -> None:
        super().__init__(found)
        self.found = found
        self.choices = choices


def guess_roles(rows: Sequence[Sequence[str]], is_there: IsThere) -> list[str]:
    """Say what each column holds.

    Args:
        rows: of the same number of cells each, two or more.
        is_there: tells whether a cell names a recording's file.

    Raises:
        DoubtError: the columns may be one thing or another.
    """
    columns = [list(column) for column in zip(*rows, strict=True)]
    audio = audio_column(columns, is_there)
    others = [i for i in range(len(columns)) if i != audio]
    roles = {audio: AUDIO if _has_endings(columns[audio]) else ID}
    kinds = {i: kind_of(columns[i]) for i in others}
    try:
        roles |= _one_other(others[0], kinds, columns) if len(others) == 1 else {}
        roles |= _several_others(kinds, columns) if len(others) > 1 else {}
    except _Unclear as unclear:
        choices = _choices(len(columns), audio, roles[audio])
        raise DoubtError(_described(columns, kinds, str(unclear)), choices) from unclear
    return [roles.get(i, UNUSED) for i in range(len(columns))]


class _Unclear(Exception):  # noqa: N818 - becomes a DoubtError
    pass


def audio_column(columns: Columns, is_there: IsThere) -> int:
    """Return the column that names the recordings' files; the first if none does."""

    def evidence(index: int) -> tuple[int, int]:
        values = columns[index][:LOOKED_AT]
        return sum(map(is_there, values)), sum(map(bool, map(ending_of, values)))

    return max(range(len(columns)), key=evidence)


def _has_endings(values: Sequence[str]) -> bool:
    return 2 * sum(bool(ending_of(value)) for value in values) > len(values)


def _one_other(index: int, kinds: dict[int, Kind], columns: Columns) -> Roles:
    """Take the only further column for text, unless it can be none."""
    values = columns[index]
    are_codes = kinds[index] == Kind.SPEAKER and all(map(_CODE.fullmatch, filter(None, values)))
    if are_codes or (kinds[index] in (Kind.LABEL, Kind.NUMBER) and len(values) > 1):
        raise _Unclear("no column looks like text")
    return {index: TEXT}


def _several_others(kinds: dict[int, Kind], columns: Columns) -> Roles:
    """Tell text from people, and find the normalised one of two texts."""
    roles = _same_text_twice(kinds, columns)
    left = {i: kind for i, kind in kinds.items() if i not in roles}
    if not roles:
        text = _text_column(left, columns)
        roles[text] = TEXT
        del left[text]
    speakers = [i for i, kind in left.items() if kind == Kind.SPEAKER]
    if not speakers:
        speakers = [i for i, kind in left.items() if _are_long_names(kind, columns[i])]
    unclear = [
        i for i, kind in left.items() if kind in (Kind.TEXT, Kind.EITHER) and i not in speakers
    ]
    if len(speakers) > 1 or unclear:
        raise _Unclear("more than one column may be text or people")
    labels = [i for i, kind in left.items() if kind in (Kind.LABEL, Kind.NUMBER)]
    if labels and not speakers:
        raise _Unclear(f"column {labels[0] + 1} may be people or something else")
    return roles | dict.fromkeys(speakers, SPEAKER)


def _same_text_twice(kinds: dict[int, Kind], columns: Columns) -> Roles:
    """Find a text and, after it, its normalised form."""
    for kinds_of_text in ({Kind.TEXT, Kind.EITHER}, {Kind.SPEAKER}):
        likely = [i for i, kind in kinds.items() if kind in kinds_of_text]
        if kinds_of_text == {Kind.SPEAKER} and len(likely) < len(kinds):
            continue
        for first, second in combinations(likely, 2):
            if are_similar(columns[first], columns[second]):
                return {first: RAW, second: TEXT}
    return {}


def _text_column(kinds: dict[int, Kind], columns: Columns) -> int:
    """Find the one column that is text."""
    texts = [i for i, kind in kinds.items() if kind == Kind.TEXT]
    either = [i for i, kind in kinds.items() if kind == Kind.EITHER]
    candidates = texts or either
    if not candidates:
        raise _Unclear("no column looks like text")
    if len(candidates) > 1:
        raise _Unclear("more than one column may be the text")
    return candidates[0]


def _are_long_names(kind: Kind, values: Sequence[str]) -> bool:
    return kind == Kind.EITHER and recurs_often(values)


def _choices(count: int, audio: int, first: str) -> list[list[str]]:
    """List what the columns may be."""
    others = [i for i in range(count) if i != audio]
    orders: list[tuple[str, ...]] = [(TEXT, SPEAKER), (SPEAKER, TEXT)]
    if len(others) == 1:
        orders = [(TEXT,)]
    if len(others) == 2:
        orders += [(RAW, TEXT), (TEXT, UNUSED)]
    choices = []
    for order in orders:
        roles = dict(zip(others, order, strict=False)) | {audio: first}
        choices.append([roles.get(i, UNUSED) for i in range(count)])
    return choices


def _described(columns: Columns, kinds: dict[int, Kind], unclear: str) -> str:
    looks = []
    for i, kind in kinds.items():
        filled = [value for value in columns[i] if value]
        looks.append(f"column {i + 1} has {len(set(filled))} values in {len(filled)} rows ({kind})")
    return f"it is not clear what its columns hold: {unclear}; {', '.join(looks)}"


def looks_like_header(rows: Sequence[Sequence[str]], is_there: IsThere) -> bool:
    """Tell whether the first row names columns in words that are not known.

    That is so where it has no recording while most other rows do, and its cells are words that no
    other row has.
    """
    first, *others = rows
    columns = [list(column) for column in zip(*others, strict=True)]
    if not columns or any(is_there(cell) for cell in first):
        return False
    column = columns[audio_column(columns, is_there)][:LOOKED_AT]
    if 2 * sum(map(is_there, column)) < len(column):
        return False
    words = zip(first, columns, strict=True)
    return all(_is_header_word(cell) and cell not in values for cell, values in words)


def _is_header_word(cell: str) -> bool:
    is_short = len(cell) <= _LONGEST_HEADER_WORD
    return is_short and _WORD_OF_A_HEADER.fullmatch(cell) is not None

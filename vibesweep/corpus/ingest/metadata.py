"""Reads which recordings a corpus has, who speaks in them and what is said, in any known layout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from vibesweep.corpus.ingest.jsonl import read_jsonl
from vibesweep.corpus.ingest.ljspeech import is_ljspeech, read_ljspeech
from vibesweep.corpus.ingest.segments import SEGMENTS_FILE
from vibesweep.corpus.ingest.table import COLUMNS, SPEAKERS_COLUMN, read_table
from vibesweep.corpus.recordings import Metadata
from vibesweep.errors import CorpusError
from vibesweep.storage import StorageAddress, StoragePath

__all__ = ["COLUMNS", "METADATA_FILE", "SEGMENTS_FILE", "SPEAKERS_COLUMN", "read_metadata"]

METADATA_FILE = "metadata.csv"


@dataclass(frozen=True)
class Layout:
    """A form that a corpus's table may have.

    Attributes:
        ending: of the file's name.
        matches: tells whether a text with this ending is of this layout.
        read: makes recordings of the file and its text.
    """

    ending: str
    matches: Callable[[str], bool]
    read: Callable[[StoragePath, str], Metadata]


def _any_text(text: str) -> bool:
    return True


LAYOUTS = (
    Layout(".csv", is_ljspeech, read_ljspeech),
    # After the other, because its errors say what a table should have
    Layout(".csv", _any_text, read_table),
    Layout(".jsonl", _any_text, read_jsonl),
)
"""Layouts in the order in which they are tried."""

_FIX = (
    f"write a {METADATA_FILE} with the columns {', '.join(COLUMNS)}, "
    "or one of LJSpeech's form (id|text|normalised text, with wavs/), "
    "or name a .jsonl file of text and audio, or take --corpus demo"
)


def read_metadata(corpus: StorageAddress) -> Metadata:
    """Read the recordings and rejects of a corpus, together as many as its table has rows.

    Whether their files are there is not looked at.

    Args:
        corpus: a folder with ``metadata.csv`` or one ``.jsonl`` file, or the path of such a file;
            local, or the address of an object store.

    Raises:
        CorpusError: there is no table, or it is of no known layout.
        StorageError: the store cannot be reached.
    """
    table = _find_table(StoragePath.of(corpus))
    text = _read_text(table)
    for layout in LAYOUTS:
        if table.name.lower().endswith(layout.ending) and layout.matches(text):
            return layout.read(table, text)
    raise CorpusError("its name ends neither in .csv nor in .jsonl", where=str(table), fix=_FIX)


def _find_table(corpus: StoragePath) -> StoragePath:
    """Return the file that lists the recordings."""
    if corpus.is_file():
        return corpus
    if (corpus / METADATA_FILE).is_file():
        return corpus / METADATA_FILE
    names = [file.name for file in corpus.files() if _is_jsonl(file.name)]
    if len(names) > 1:
        raise CorpusError(
            f"no {METADATA_FILE}, and several .jsonl files ({', '.join(names)})",
            where=str(corpus),
            fix="name one of them",
        )
    if not names:
        raise CorpusError(f"no {METADATA_FILE} and no .jsonl file", where=str(corpus), fix=_FIX)
    return corpus / names[0]


def _is_jsonl(name: str) -> bool:
    return name.lower().endswith(".jsonl") and not name.startswith(".")


def _read_text(table: StoragePath) -> str:
    try:
        return table.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(
            f"it cannot be read ({error})", where=str(table), fix="save it as UTF-8"
        ) from error
    except OSError as error:
        raise CorpusError(
            f"it cannot be read ({error})", where=str(table), fix="see that you may read it"
        ) from error

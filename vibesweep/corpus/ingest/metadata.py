"""Reads which recordings a corpus has, who speaks in them and what is said, in any known layout."""

from __future__ import annotations

from collections.abc import Sequence

from vibesweep.corpus.ingest.jsonl import read_jsonl
from vibesweep.corpus.ingest.segments import SEGMENTS_FILE
from vibesweep.corpus.ingest.sheet import read_sheet
from vibesweep.corpus.ingest.table import COLUMNS, SPEAKERS_COLUMN, read_table
from vibesweep.corpus.recordings import Metadata
from vibesweep.errors import CorpusError
from vibesweep.storage import StorageAddress, StoragePath

__all__ = ["COLUMNS", "METADATA_FILE", "SEGMENTS_FILE", "SPEAKERS_COLUMN", "read_metadata"]

METADATA_FILE = "metadata.csv"
TABLE_ENDINGS = (".csv", ".tsv", ".txt", ".psv")
JSONL_ENDING = ".jsonl"
_TABLES_NAMED = 5  # a folder of more such files holds texts

_FIX = (
    f"write a {METADATA_FILE} with the columns {', '.join(COLUMNS)}, "
    "or one of LJSpeech's form (id|text|speaker or the like, with wavs/), "
    "or name a .jsonl file of text and audio, or take --corpus demo"
)


def read_metadata(corpus: StorageAddress, columns: Sequence[str] = ()) -> Metadata:
    """Read the recordings and rejects of a corpus, together as many as its table has rows.

    Folders that the table names are listed, to find the files that its ids mean; whether all files
    are there is not looked at.

    Args:
        corpus: a folder with ``metadata.csv`` or one ``.jsonl`` file, or the path of such a file;
            local, or the address of an object store.
        columns: what the table's columns hold, where its header or its content do not show it.

    Raises:
        CorpusError: there is no table, it is of no known layout, or what its columns hold is in
            doubt.
        StorageError: the store cannot be reached.
    """
    table = find_table(StoragePath.of(corpus))
    name = table.name.lower()
    if name.endswith(TABLE_ENDINGS):
        sheet = read_sheet(_read_text(table))
        return read_table(table, sheet, columns)
    if not name.endswith(JSONL_ENDING):
        endings = f"{', '.join(TABLE_ENDINGS)} nor {JSONL_ENDING}"
        raise CorpusError(f"its name ends in neither {endings}", where=str(table), fix=_FIX)
    if columns:
        raise CorpusError(
            "JSON lines have keys, not columns", where=str(table), fix="leave --columns out"
        )
    return read_jsonl(table, _read_text(table))


def find_table(corpus: StoragePath) -> StoragePath:
    """Return the file that lists the recordings.

    Raises:
        CorpusError: there is none, or more than one.
    """
    if corpus.is_file():
        return corpus
    if (corpus / METADATA_FILE).is_file():
        return corpus / METADATA_FILE
    listed = [file.name for file in corpus.files() if not file.name.startswith(".")]
    names = [name for name in listed if name.lower().endswith(JSONL_ENDING)]
    if len(names) > 1:
        raise CorpusError(
            f"no {METADATA_FILE}, and several .jsonl files ({', '.join(names)})",
            where=str(corpus),
            fix="name one of them",
        )
    if not names:
        raise _no_table(corpus, listed)
    return corpus / names[0]


def _no_table(corpus: StoragePath, listed: Sequence[str]) -> CorpusError:
    """Say that a folder has no table, and which file may be one."""
    tables = [name for name in listed if name.lower().endswith(TABLE_ENDINGS)]
    found = f"no {METADATA_FILE} and no .jsonl file"
    if not tables or len(tables) > _TABLES_NAMED:
        return CorpusError(found, where=str(corpus), fix=_FIX)
    paths = [str(corpus / name) for name in tables]
    fix = f"name the table itself: {' or '.join(paths)}"
    return CorpusError(f"{found}, but {', '.join(tables)}", where=str(corpus), fix=fix)


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

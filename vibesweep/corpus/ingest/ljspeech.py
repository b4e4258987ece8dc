"""LJSpeech's layout, which many corpora follow: ``id|text|normalised text`` and a folder ``wavs``.

Source: README of LJSpeech-1.1, https://keithito.com/LJ-Speech-Dataset: no header, no quoting, one
speaker.
"""

from __future__ import annotations

from collections.abc import Callable

from vibesweep.corpus.ingest.rows import TableRow, numbered_lines, parse_id, read_rows
from vibesweep.corpus.recordings import DEFAULT_TAG, Metadata, Recording
from vibesweep.corpus.rejects import RecordingError
from vibesweep.storage import StoragePath

WAVS_FOLDER = "wavs"
CELLS = (2, 3)  # of a row; the third, the normalized text, may be missing
_ENDINGS = ("wav", "flac", "mp3", "ogg")  # the first that is there is taken


def is_ljspeech(text: str) -> bool:
    """Whether the first row is of this layout.

    A header of our own columns that are separated by the wrong sign is not.
    """
    _, first_line = next(numbered_lines(text), (1, ""))
    cells = _cells(first_line)
    if len(cells) not in CELLS:
        return False
    is_our_header = "audio_path" in cells or "text_path" in cells
    return not is_our_header


def read_ljspeech(table: StoragePath, text: str) -> Metadata:
    """Read a table without a header; the person in all its recordings is the folder's name.

    Raises:
        CorpusError: there are no rows.
    """
    rows = []
    for line, content in numbered_lines(text):
        cells = _cells(content)
        rows.append(TableRow(line, cells[0], cells))
    return read_rows(table, rows, _reader(table.parent))


def _cells(line: str) -> list[str]:
    cells = line.split("|")
    return [cell.strip() for cell in cells]


def _reader(folder: StoragePath) -> Callable[[list[str]], Recording]:
    """Return a function that makes a recording of one row."""
    wavs = folder / WAVS_FOLDER
    file_names = _file_names_by_stem(wavs)
    speakers = ((DEFAULT_TAG, folder.name),) if folder.name else ()

    def read(cells: list[str]) -> Recording:
        if len(cells) not in CELLS:
            raise RecordingError("bad_row", f"{len(cells)} cells, not id|text|normalised text")
        name = parse_id(cells[0])
        words = cells[-1] or cells[1]
        if not words:
            raise RecordingError("bad_row", "text is empty")
        file_name = file_names.get(name, f"{name}.wav")
        audio = wavs / file_name
        return Recording(id=name, audio=audio.address, words=words, speakers=speakers)

    return read


def _file_names_by_stem(folder: StoragePath) -> dict[str, str]:
    """Find audio files by one listing: a look at each would take hours in an object store."""
    listed = [file.name for file in folder.files()]
    by_stem: dict[str, str] = {}
    for wanted in reversed(_ENDINGS):
        for name in listed:
            stem, _, ending = name.rpartition(".")
            if ending.lower() == wanted:
                by_stem[stem] = name
    return by_stem

"""The layout of LJSpeech and the many corpora that follow it: ``id|text|normalised text`` beside a folder ``wavs``.

Source: README of LJSpeech-1.1, https://keithito.com/LJ-Speech-Dataset: no header, no quoting, one speaker.
"""

from __future__ import annotations

from collections.abc import Callable

from vibesweep.corpus.ingest.rows import checked_id, gather, lines_of
from vibesweep.corpus.ingest.table import REQUIRED
from vibesweep.corpus.recordings import DEFAULT_TAG, Metadata, Recording
from vibesweep.corpus.rejects import RecordingError
from vibesweep.storage import StoragePath

WAVS_FOLDER = "wavs"
_ENDINGS = ("wav", "flac", "mp3", "ogg")  # the first that is there is taken


def is_ljspeech(text: str) -> bool:
    """Whether the first row is of this layout, and not a header whose columns are separated by the wrong sign."""
    first = next((line for _, line in lines_of(text)), "").split("|")
    return len(first) in (2, 3) and not {cell.strip() for cell in first} & set(REQUIRED[1:])


def read_ljspeech(table: StoragePath, text: str) -> Metadata:
    """Recordings of a table without a header; their person is the corpus, by its folder's name.

    Raises:
        CorpusError: there are no rows.
    """
    rows = (
        (line, cells[0].strip(), cells)
        for line, cells in ((line, row.split("|")) for line, row in lines_of(text))
    )
    return gather(table, rows, _reader(table.parent))


def _reader(folder: StoragePath) -> Callable[[list[str]], Recording]:
    wavs = folder / WAVS_FOLDER
    names = _by_stem(wavs)
    speakers = ((DEFAULT_TAG, folder.name),) if folder.name else ()

    def read(cells: list[str]) -> Recording:
        if len(cells) not in (2, 3):
            raise RecordingError("bad_row", f"{len(cells)} cells, not id|text|normalised text")
        name = checked_id(cells[0].strip())
        words = cells[-1].strip() or cells[1].strip()
        if not words:
            raise RecordingError("bad_row", "text is empty")
        return Recording(
            id=name,
            audio=(wavs / names.get(name, f"{name}.wav")).address,
            words=words,
            speakers=speakers,
        )

    return read


def _by_stem(folder: StoragePath) -> dict[str, str]:
    """File names by their stems, from one listing: a look at each file would take hours on an object store."""
    names: dict[str, str] = {}
    files = [(file.name.rpartition("."), file.name) for file in folder.files()]
    for ending in reversed(_ENDINGS):
        names.update({stem: name for (stem, _, own), name in files if own.lower() == ending})
    return names

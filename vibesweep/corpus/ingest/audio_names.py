"""Finds the audio file that a table means by an id, a file's name or a path.

Each folder is listed once: a look at each file would take hours in an object store.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from vibesweep.corpus.ingest.rows import CONTROL_CHARACTERS
from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath

WAVS_FOLDER = "wavs"
FOLDERS = (WAVS_FOLDER, "", "wav", "clips", "audio")
"""Where recordings lie beside a table, in the order in which they are looked for."""

# Of files that differ in their ending alone the first is taken
AUDIO_ENDINGS = (
    *("wav", "flac", "mp3", "ogg", "opus", "oga", "m4a", "mp4", "aac", "wma", "webm"),
    *("aif", "aiff", "au", "w64", "rf64"),
)


def ending_of(name: str) -> str:
    """Return the ending of an audio file's name in small letters, or an empty text."""
    ending = name.rpartition(".")[2].lower()
    return ending if "." in name and ending in AUDIO_ENDINGS else ""


def without_ending(name: str) -> str:
    """Return an audio file's name without its ending."""
    ending = ending_of(name)
    return name[: -len(ending) - 1] if ending else name


NamesByFolded = dict[str, list[str]]
"""Names by their folded form, in which neither Unicode's normal forms nor case matter."""


@dataclass(frozen=True)
class FolderNames:
    """The files in a folder.

    Attributes:
        files: their names.
        by_stem: audio files by their names without ending.
        folded: all files.
        folded_stems: audio files, by the folded forms of their names without ending.
    """

    files: frozenset[str]
    by_stem: dict[str, str]
    folded: NamesByFolded
    folded_stems: NamesByFolded


class Listings:
    """What is in folders, each of which is listed once."""

    def __init__(self) -> None:
        self._files: dict[str, FolderNames] = {}
        self._folders: dict[str, NamesByFolded] = {}

    def files(self, folder: StoragePath) -> FolderNames:
        """Return the names of the files right inside a folder; none if there is no such folder."""
        names = self._files.get(folder.address)
        if names is None:
            names = _folder_names(_listed(folder))
            self._files[folder.address] = names
        return names

    def folders(self, folder: StoragePath) -> NamesByFolded:
        """Return the names of the folders right inside a folder."""
        names = self._folders.get(folder.address)
        if names is None:
            names = _by_folded(_listed_folders(folder))
            self._folders[folder.address] = names
        return names


def _listed(folder: StoragePath) -> list[str]:
    with _impossible_names_allowed(folder):
        return [file.name for file in folder.files()]
    return []


def _listed_folders(folder: StoragePath) -> list[str]:
    with _impossible_names_allowed(folder):
        return [inner.name for inner in folder.folders()]
    return []


@contextmanager
def _impossible_names_allowed(folder: StoragePath) -> Iterator[None]:
    """Let a listing fail on this machine: a table may name a folder that no system allows."""
    try:
        yield
    except (StorageError, OSError, ValueError):
        if folder.local is None:
            raise


def _folder_names(listed: list[str]) -> FolderNames:
    by_stem: dict[str, str] = {}
    folded_stems: NamesByFolded = {}
    audio = sorted(filter(ending_of, listed), key=_rank_of_ending)
    for name in audio:
        stem = without_ending(name)
        by_stem.setdefault(stem, name)
        folded_stems.setdefault(folded_name(stem), []).append(name)
    return FolderNames(frozenset(listed), by_stem, _by_folded(listed), folded_stems)


def _by_folded(names: list[str]) -> NamesByFolded:
    folded: NamesByFolded = {}
    for name in names:
        folded.setdefault(folded_name(name), []).append(name)
    return folded


def _rank_of_ending(name: str) -> tuple[int, str]:
    return AUDIO_ENDINGS.index(ending_of(name)), name


def folded_name(name: str) -> str:
    """Return a name in a form in which neither Unicode's normal forms nor case matter."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class AudioFolder:
    """The recordings beside a table."""

    def __init__(self, folder: StoragePath) -> None:
        self._folder = folder
        self._listings = Listings()

    def find(self, cell: str) -> StoragePath | None:
        """Find the file that a cell means; ``None`` if none is there under just this name.

        Args:
            cell: an id (``x``), a file's name (``x.wav``), or a path with or without ``wavs/``.
        """
        if not cell or CONTROL_CHARACTERS.search(cell):
            return None
        is_elsewhere = cell.startswith("/") or "://" in cell
        roots = ("",) if is_elsewhere else self._roots(cell)
        for root in roots:
            folder = self._folder / root if root else self._folder
            place = folder / cell
            names = self._listings.files(place.parent)
            name = place.name
            if name in names.files:
                return place
            if not ending_of(name) and name in names.by_stem:
                return place.parent / names.by_stem[name]
        return None

    def _roots(self, cell: str) -> tuple[str, ...]:
        is_id = "/" not in cell and not ending_of(cell)
        return FOLDERS if is_id else ("", *[root for root in FOLDERS if root])

    def expected(self, cell: str) -> StoragePath:
        """Return where a file that is not there would be."""
        if "/" in cell or "\\" in cell:
            return self._folder / cell
        if not ending_of(cell):
            return self._folder / WAVS_FOLDER / f"{cell}.wav"
        wavs = self._folder / WAVS_FOLDER
        has_wavs = bool(self._listings.files(wavs).files)
        return wavs / cell if has_wavs else self._folder / cell

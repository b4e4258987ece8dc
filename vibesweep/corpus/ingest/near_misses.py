"""Finds the one file that a path nearly names, where the file itself is not there.

Tables are written on one machine and read on another: Windows has other slashes, macOS writes other
forms of accented letters and takes no notice of case, and scripts are started from other folders.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vibesweep.corpus.ingest.audio_names import (
    FOLDERS,
    Listings,
    folded_name,
    without_ending,
)
from vibesweep.storage import StoragePath

BACKSLASHES = "path_backslashes"
UNICODE_FORM = "path_unicode_form"
LETTER_CASE = "path_letter_case"
OTHER_ENDING = "path_other_ending"
OTHER_FOLDER = "path_other_folder"

_DRIVE = re.compile(r"[A-Za-z]:/+")
_NAMED_FILES = 3  # of several that fit


@dataclass(frozen=True)
class NearMiss:
    """A file that is nearly what a table names.

    Attributes:
        place: where it is.
        how: in what it differs, keys of :data:`vibesweep.corpus.rejects.WARNINGS`.
    """

    place: StoragePath
    how: frozenset[str] = frozenset()


class NearMisses:
    """Looks for files that are not where a table says; each folder is listed once.

    Args:
        folder: the table's.
    """

    def __init__(self, folder: StoragePath) -> None:
        self._folder = folder
        self._listings = Listings()

    def find(self, address: str, *, is_audio: bool) -> list[NearMiss]:
        """Return the files that an address may mean: one, several that fit equally well, or none.

        Args:
            address: of a file that is not there.
            is_audio: whether another format of the same name will do.

        Raises:
            StorageError: a store cannot be reached.
        """
        inside = StoragePath(address).relative_to(self._folder)
        if inside == address:
            path = StoragePath(address)
            found = self._matches_in(path.parent, [path.name], is_audio)
            return found or self._elsewhere(address, is_audio)
        found = self._relative(inside, is_audio)
        if found or "\\" not in inside:
            return found
        with_slashes = inside.replace("\\", "/")
        is_absolute = _DRIVE.match(with_slashes) or with_slashes.startswith("/")
        look = self._elsewhere if is_absolute else self._relative
        return _and_also(look(with_slashes, is_audio), BACKSLASHES)

    def _relative(self, path: str, is_audio: bool) -> list[NearMiss]:
        """Look from the table's folder, then from the other folders that paths may count from."""
        parts = _parts(path)
        beside = self._matches_in(self._folder, parts, is_audio)
        if beside:
            return beside
        found: list[NearMiss] = []
        for root, rest in self._other_roots(parts):
            found += self._matches_in(root, rest, is_audio)
        return _and_also(_without_twins(found), OTHER_FOLDER)

    def _other_roots(self, parts: Sequence[str]) -> Iterator[tuple[StoragePath, Sequence[str]]]:
        for name in FOLDERS:
            if name and parts[0] != name:
                yield self._folder / name, parts
        if parts[0] in FOLDERS and len(parts) > 1:
            yield self._folder, parts[1:]
        if self._folder.local is not None:
            yield StoragePath.of(Path.cwd()), parts
        yield from self._named_again(parts)

    def _named_again(self, parts: Sequence[str]) -> Iterator[tuple[StoragePath, Sequence[str]]]:
        """Yield the table's folder where a path begins with the folder's own name or names."""
        folder = self._folder
        own: list[str] = []
        for count in range(1, len(parts)):
            own.insert(0, folder.name)
            folder = folder.parent
            if list(parts[:count]) == own:
                yield self._folder, parts[count:]

    def _elsewhere(self, path: str, is_audio: bool) -> list[NearMiss]:
        """Look for the end of another machine's absolute path, the longest one that is here."""
        rest = _parts(path)
        while len(rest) > 1:
            found = self._matches_in(self._folder, rest, is_audio)
            if found:
                return _and_also(found, OTHER_FOLDER)
            rest = rest[1:]  # first goes the drive, the store or the topmost folder
        found = []
        for name in FOLDERS:
            found += self._matches_in(self._folder / name, rest, is_audio)
        return _and_also(found, OTHER_FOLDER)

    def _matches_in(
        self, root: StoragePath, parts: Sequence[str], is_audio: bool
    ) -> list[NearMiss]:
        """Follow a path from a folder, name by name."""
        folders = [NearMiss(root)]
        for part in parts[:-1]:
            inner: list[NearMiss] = []
            for folder in folders:
                inner += self._folders_like(folder, part)
            folders = inner
        files: list[NearMiss] = []
        for folder in folders:
            files += self._files_like(folder, parts[-1], is_audio)
        return files

    def _folders_like(self, at: NearMiss, name: str) -> list[NearMiss]:
        if name == "..":
            return [NearMiss(at.place.parent, at.how)]
        folders = self._listings.folders(at.place)
        alike = folders.get(folded_name(name), [])
        chosen = _most_alike(name, alike)
        return [_like(at, name, other, other) for other in chosen]

    def _files_like(self, at: NearMiss, name: str, is_audio: bool) -> list[NearMiss]:
        names = self._listings.files(at.place)
        alike = names.folded.get(folded_name(name), [])
        chosen = _most_alike(name, alike)
        if chosen or not is_audio:
            return [_like(at, name, other, other) for other in chosen]
        stem = without_ending(name)
        files = names.folded_stems.get(folded_name(stem), [])
        stem_of = {file: without_ending(file) for file in files}
        stems = _most_alike(stem, list(stem_of.values()))
        likes = []
        for file, other in stem_of.items():
            if other in stems:
                likes.append(_like(at, stem, other, file))
        return _and_also(likes, OTHER_ENDING)


def _most_alike(name: str, alike: Sequence[str]) -> list[str]:
    """Choose the same name, or else those in another form, or else those in another case."""
    if name in alike:
        return [name]
    in_other_form = [other for other in alike if _composed(other) == _composed(name)]
    return in_other_form or list(alike)


def _like(at: NearMiss, name: str, other: str, file: str) -> NearMiss:
    """Return a file whose name, or stem, is ``other`` where a table has ``name``."""
    how = set() if name == other else _difference(name, other)
    return NearMiss(at.place / file, at.how | how)


def _difference(name: str, other: str) -> set[str]:
    how = set()
    if _composed(name) != _composed(other):
        how.add(LETTER_CASE)
    is_same_form = unicodedata.is_normalized("NFC", name) == unicodedata.is_normalized("NFC", other)
    if not how or not is_same_form:
        how.add(UNICODE_FORM)
    return how


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _and_also(found: Sequence[NearMiss], how: str) -> list[NearMiss]:
    """Add one more difference to all."""
    return [NearMiss(one.place, one.how | {how}) for one in found]


def _parts(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return parts or [path]


def _without_twins(found: Sequence[NearMiss]) -> list[NearMiss]:
    by_place: dict[StoragePath, NearMiss] = {}
    for one in found:
        by_place.setdefault(one.place, one)
    return list(by_place.values())


def named(found: Sequence[NearMiss], folder: StoragePath) -> str:
    """List files by their paths in the table's folder."""
    paths = [one.place.relative_to(folder) for one in found]
    more = len(paths) - _NAMED_FILES
    if more > 0:
        paths[_NAMED_FILES:] = [f"{more} more"]
    return ", ".join(paths)

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

    def and_also(self, how: str) -> NearMiss:
        """Add one more difference."""
        return NearMiss(self.place, self.how | {how})


class NearMisses:
    """Looks for files that are not where a table says; each folder is listed once.

    Args:
        folder: the table's.
        working_folder: where paths may count from as well, if the table is on this machine.
    """

    def __init__(self, folder: StoragePath, working_folder: StoragePath | None = None) -> None:
        self._folder = folder
        is_local = folder.local is not None
        self._working_folder = working_folder or (StoragePath.of(Path.cwd()) if is_local else None)
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
        for path_inside, how in _spellings(inside):
            parts = _parts(path_inside)
            is_absolute = path_inside.startswith("/") or bool(_DRIVE.match(path_inside))
            found = [] if is_absolute else self._relative(parts, is_audio)
            found = found or (self._elsewhere(path_inside, is_audio) if is_absolute else [])
            if found:
                return [one.and_also(how) if how else one for one in found]
        return []

    def _relative(self, parts: Sequence[str], is_audio: bool) -> list[NearMiss]:
        """Look from the table's folder, then from the other folders that paths may count from."""
        beside = self._matches_in(self._folder, parts, is_audio)
        if beside:
            return beside
        found = []
        for root, rest in self._other_roots(parts):
            matches = self._matches_in(root, rest, is_audio)
            found += [match.and_also(OTHER_FOLDER) for match in matches]
        return _without_twins(found)

    def _other_roots(self, parts: Sequence[str]) -> Iterator[tuple[StoragePath, Sequence[str]]]:
        for name in FOLDERS:
            if name and parts[0] != name:
                yield self._folder / name, parts
        if parts[0] in FOLDERS and len(parts) > 1:
            yield self._folder, parts[1:]
        if self._working_folder is not None and self._working_folder != self._folder:
            yield self._working_folder, parts
        yield from self._named_again(parts)

    def _named_again(self, parts: Sequence[str]) -> Iterator[tuple[StoragePath, Sequence[str]]]:
        """Yield the table's folder where a path begins with the folder's own name or names."""
        folder = self._folder
        own: list[str] = []
        for _ in range(len(parts) - 1):
            own.insert(0, folder.name)
            folder = folder.parent
            if list(parts[: len(own)]) == own:
                yield self._folder, parts[len(own) :]

    def _elsewhere(self, path: str, is_audio: bool) -> list[NearMiss]:
        """Look for the end of another machine's absolute path, the longest one that is here."""
        parts = _parts(_DRIVE.sub("/", path.partition("://")[2] or path))
        for start in range(len(parts)):
            rest = parts[start:]
            roots = [self._folder]
            if len(rest) == 1:
                roots += [self._folder / name for name in FOLDERS if name]
            found = [one for root in roots for one in self._matches_in(root, rest, is_audio)]
            if found:
                return [one.and_also(OTHER_FOLDER) for one in _without_twins(found)]
        return []

    def _matches_in(
        self, root: StoragePath, parts: Sequence[str], is_audio: bool
    ) -> list[NearMiss]:
        """Follow a path from a folder, name by name."""
        found = [NearMiss(root)]
        for part in parts[:-1]:
            inner = [self._folders_like(one, part) for one in found]
            found = [match for matches in inner for match in matches]
        files = [self._files_like(one, parts[-1], is_audio) for one in found if parts]
        return [match for matches in files for match in matches]

    def _folders_like(self, at: NearMiss, name: str) -> list[NearMiss]:
        if name == "..":
            return [NearMiss(at.place.parent, at.how)]
        alike = self._listings.folders(at.place).get(folded_name(name), [])
        return [_like(at, name, other, other) for other in _most_alike(name, alike)]

    def _files_like(self, at: NearMiss, name: str, is_audio: bool) -> list[NearMiss]:
        names = self._listings.files(at.place)
        alike = _most_alike(name, names.folded.get(folded_name(name), []))
        if alike or not is_audio:
            return [_like(at, name, other, other) for other in alike]
        stem = without_ending(name)
        files = names.folded_stems.get(folded_name(stem), [])
        stems = _most_alike(stem, [without_ending(file) for file in files])
        likes = [
            _like(at, stem, without_ending(file), file)
            for file in files
            if without_ending(file) in stems
        ]
        return [like.and_also(OTHER_ENDING) for like in likes]


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


def _spellings(path: str) -> Iterator[tuple[str, str]]:
    """Yield a path as it is, and with slashes for back-slashes."""
    yield path, ""
    if "\\" in path:
        yield path.replace("\\", "/"), BACKSLASHES


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
    paths = [one.place.relative_to(folder) for one in found[:_NAMED_FILES]]
    more = len(found) - len(paths)
    return ", ".join(paths) + (f" and {more} more" if more else "")

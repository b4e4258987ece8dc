"""Looks at every file that a corpus names, and finds those that it nearly names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from vibesweep.corpus.ingest.near_misses import NearMiss, NearMisses, named
from vibesweep.corpus.recordings import Recording
from vibesweep.corpus.rejects import WARNINGS, RecordingWarning
from vibesweep.storage import Stat, StoragePath

STORE_THREADS = 32
"""Questions to an object store at a time: each waits some ten milliseconds for its answer."""


@dataclass(frozen=True)
class FoundFiles:
    """What is known of the files of recordings.

    Attributes:
        recordings: all of them; their addresses are those of the files that were taken.
        stats: of each address; ``None`` where no file is there.
        causes: why no file was taken for an address, where something can be said.
        warnings: of files that were taken although the table names them a little differently.
    """

    recordings: tuple[Recording, ...]
    stats: Mapping[str, Stat | None]
    causes: Mapping[str, str]
    warnings: tuple[RecordingWarning, ...]


def find_files(recordings: Sequence[Recording], corpus: StoragePath) -> FoundFiles:
    """Look at each file once.

    Where a file is not there and exactly one is there under a name that differs in case, slashes,
    Unicode's form or the folder it counts from, that one is taken.

    Args:
        recordings: of the corpus.
        corpus: its folder or table.

    Raises:
        StorageError: a store cannot be reached.
    """
    addresses: set[str] = set()
    for recording in recordings:
        addresses.update(recording.files())
    stats = _stats(addresses)
    missing = {address for address, stat in stats.items() if stat is None}
    if not missing:
        return FoundFiles(tuple(recordings), stats, {}, ())
    folder = corpus.parent if corpus.is_file() else corpus
    taken, causes = _taken(recordings, missing, folder)
    places = {near.place.address for near in taken.values()}
    stats.update(_stats(places))
    warnings: list[RecordingWarning] = []
    found = []
    for recording in recordings:
        warnings += _warnings(recording, taken, folder)
        found.append(_with_files(recording, taken))
    return FoundFiles(
        recordings=tuple(found),
        stats=stats,
        causes=causes,
        warnings=tuple(warnings),
    )


def _taken(
    recordings: Sequence[Recording], missing: set[str], folder: StoragePath
) -> tuple[dict[str, NearMiss], dict[str, str]]:
    """Return the files to take in place of missing ones, and why for others none was taken."""
    near_misses = NearMisses(folder)
    audios = {recording.audio for recording in recordings}
    sounds = set(audios)
    for recording in recordings:
        sounds.update(recording.voice_prompts)
    taken: dict[str, NearMiss] = {}
    causes: dict[str, str] = {}
    for address in sorted(missing):
        found = near_misses.find(address, is_audio=address in sounds)
        if len(found) == 1:
            taken[address] = found[0]
        elif found:
            paths = named(found, folder)
            causes[address] = f"{len(found)} files may be meant: {paths}"
    for address in _contested(taken, audios):
        path = named([taken.pop(address)], folder)
        causes[address] = f"{path} may be meant, but another row may mean it too"
    return taken, causes


def _contested(taken: Mapping[str, NearMiss], audios: set[str]) -> list[str]:
    """Return the missing recordings whose file another row means: two must not become one."""
    missing = audios.intersection(taken)
    claims = Counter(audios - missing)
    for address in missing:
        place = taken[address].place
        claims[place.address] += 1
    return [address for address in missing if claims[taken[address].place.address] > 1]


def _with_files(recording: Recording, taken: Mapping[str, NearMiss]) -> Recording:
    if taken.keys().isdisjoint(recording.files()):
        return recording

    def place(address: str) -> str:
        near = taken.get(address)
        return address if near is None else near.place.address

    prompts = [place(prompt) for prompt in recording.voice_prompts]
    return replace(
        recording,
        audio=place(recording.audio),
        text=place(recording.text),
        voice_prompts=tuple(prompts),
    )


def _warnings(
    recording: Recording, taken: Mapping[str, NearMiss], folder: StoragePath
) -> list[RecordingWarning]:
    """Make a warning of each way in which a recording's files are named differently."""
    details: dict[str, str] = {}
    for address in recording.files():
        if address in taken:
            near = taken[address]
            path = StoragePath(address).relative_to(folder)
            detail = f"{path} is {named([near], folder)}"
            for how in near.how:
                details.setdefault(how, detail)
    return [
        RecordingWarning(recording.id, recording.audio, how, details[how])
        for how in WARNINGS
        if how in details
    ]


def _stats(addresses: set[str]) -> dict[str, Stat | None]:
    """Look at files: local ones one after the other, a store's many at a time.

    Threads would slow local files down.
    """
    stats: dict[str, Stat | None] = {}
    remote: dict[str, StoragePath] = {}
    for address in addresses:
        place = StoragePath.of(address)
        if place.local is None:
            remote[address] = place
        else:
            stats[address] = place.stat()
    with ThreadPoolExecutor(STORE_THREADS) as pool:
        found = pool.map(StoragePath.stat, remote.values())
        stats.update(zip(remote, found, strict=True))
    return stats

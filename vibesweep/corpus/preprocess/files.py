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
    stats |= _stats({near.place.address for near in taken.values()})
    warnings: list[RecordingWarning] = []
    found = []
    for recording in recordings:
        warnings += _warnings(recording, taken, folder)
        found.append(_with_files(recording, taken))
    return FoundFiles(tuple(found), stats, causes, tuple(warnings))


def _taken(
    recordings: Sequence[Recording], missing: set[str], folder: StoragePath
) -> tuple[dict[str, NearMiss], dict[str, str]]:
    """Return the files to take in place of missing ones, and why for others none was taken."""
    near_misses = NearMisses(folder)
    audios = {recording.audio for recording in recordings}
    prompts = {prompt for recording in recordings for prompt in recording.voice_prompts}
    taken: dict[str, NearMiss] = {}
    causes: dict[str, str] = {}
    for address in sorted(missing):
        found = near_misses.find(address, is_audio=address in audios | prompts)
        if len(found) == 1:
            taken[address] = found[0]
        elif found:
            causes[address] = f"{len(found)} files may be meant: {named(found, folder)}"
    claimed = Counter(near.place.address for at, near in taken.items() if at in audios)
    for address in audios & set(taken):
        near = taken[address]
        # Two rows must not become one recording
        if claimed[near.place.address] > 1 or near.place.address in audios:
            path = named([near], folder)
            causes[address] = f"{path} may be meant, but another row may mean it too"
            del taken[address]
    return taken, causes


def _with_files(recording: Recording, taken: Mapping[str, NearMiss]) -> Recording:
    if not any(address in taken for address in recording.files()):
        return recording

    def place(address: str) -> str:
        return taken[address].place.address if address in taken else address

    prompts = tuple(place(prompt) for prompt in recording.voice_prompts)
    text = place(recording.text) if recording.text else ""
    return replace(recording, audio=place(recording.audio), text=text, voice_prompts=prompts)


def _warnings(
    recording: Recording, taken: Mapping[str, NearMiss], folder: StoragePath
) -> list[RecordingWarning]:
    """Make a warning of each way in which a recording's files are named differently."""
    details: dict[str, str] = {}
    for address in recording.files():
        if address in taken:
            near = taken[address]
            path = StoragePath(address).relative_to(folder)
            for how in near.how:
                details.setdefault(how, f"{path} is {named([near], folder)}")
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

"""What a recording's clips depend on, as one hash: with an equal one they are not encoded again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass

from vibesweep.config import CorpusSettings
from vibesweep.corpus.recordings import Recording
from vibesweep.corpus.rejects import RecordingError, Reject
from vibesweep.corpus.shards.manifest import SCHEMA_VERSION
from vibesweep.storage import Stat, StoragePath

STORE_THREADS = 32
"""Questions to an object store at a time: each waits some ten milliseconds for its answer."""


@dataclass(frozen=True)
class Planned:
    """A recording whose files are there, and the hash of all that its clips depend on."""

    recording: Recording
    fingerprint: str


def fingerprint_all(
    recordings: Sequence[Recording], corpus: StoragePath, max_duration_s: float, encoder: str
) -> tuple[list[Planned], list[Reject]]:
    """Look at every file once and fingerprint the recordings.

    Of audio and texts only size and time of change count, because a corpus may have terabytes.
    Paths count from the corpus folder, so that a corpus that was moved need not be encoded again.

    Args:
        recordings: of the corpus.
        corpus: its folder.
        max_duration_s: longer recordings are cut.
        encoder: fingerprint of the encoder that makes the family's columns.

    Returns:
        Recordings whose files are all there, and a reject for each of the others.
    """
    encoding = json.dumps([SCHEMA_VERSION, max_duration_s, encoder])
    stats = _stats({address for recording in recordings for address in recording.files()})
    planned, rejects = [], []
    for recording in recordings:
        try:
            fingerprint = _fingerprint(recording, stats, corpus, encoding)
            planned.append(Planned(recording, fingerprint))
        except RecordingError as error:
            rejects.append(Reject.of(recording.id, error))
    return planned, rejects


def signature_of(
    planned: Iterable[Planned], rejects: Iterable[Reject], settings: CorpusSettings
) -> str:
    """Hash all that a folder of shards depends on, and the rejects that are known so far."""
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    entries = [item.fingerprint for item in planned]
    entries += [f"{reject.id} {reject.reason}" for reject in rejects]
    for entry in sorted(entries):
        digest.update(entry.encode())
    return digest.hexdigest()


def _fingerprint(
    recording: Recording, stats: dict[str, Stat | None], corpus: StoragePath, encoding: str
) -> str:
    files = []
    for address in recording.files():
        stat = stats[address]
        if stat is None:
            raise RecordingError(_missing(recording, address), "no such file", where=address)
        files.append([StoragePath.of(address).relative_to(corpus), stat.size, stat.mtime_ns])
    addresses = ("audio", "text", "voice_prompts")
    row = {name: value for name, value in vars(recording).items() if name not in addresses}
    content = json.dumps([encoding, row, files], default=vars)
    return hashlib.blake2b(content.encode(), digest_size=16).hexdigest()


def _missing(recording: Recording, address: str) -> str:
    """Name the reason for which a file of a recording is missed."""
    if address == recording.audio:
        return "missing_audio"
    return "missing_text" if address == recording.text else "missing_prompt"


def _stats(addresses: set[str]) -> dict[str, Stat | None]:
    """Look at local files one after the other, which threads would slow down, and at a store's many at a time."""
    places = {address: StoragePath.of(address) for address in addresses}
    remote = {address: place for address, place in places.items() if place.local is None}
    local = {address: place.stat() for address, place in places.items() if place.local is not None}
    with ThreadPoolExecutor(STORE_THREADS) as pool:
        stats = pool.map(StoragePath.stat, remote.values())
        return local | dict(zip(remote, stats, strict=True))

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
from vibesweep.corpus.text.turns import READING_VERSION
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
    encoding = json.dumps([SCHEMA_VERSION, READING_VERSION, max_duration_s, encoder])
    addresses: set[str] = set()
    for recording in recordings:
        addresses.update(recording.files())
    stats = _stats(addresses)
    planned, rejects = [], []
    for recording in recordings:
        try:
            fingerprint = _fingerprint(recording, stats, corpus, encoding)
        except RecordingError as error:
            rejects.append(Reject.of(recording.id, error))
        else:
            planned.append(Planned(recording, fingerprint))
    return planned, rejects


def signature_of(
    planned: Iterable[Planned], rejects: Iterable[Reject], settings: CorpusSettings
) -> str:
    """Hash all that a folder of shards depends on, and the rejects that are known so far."""
    content = json.dumps(asdict(settings), sort_keys=True)
    digest = hashlib.sha256(content.encode())
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
            reason = _missing(recording, address)
            raise RecordingError(reason, "no such file", where=address)
        path = StoragePath.of(address).relative_to(corpus)
        files.append([path, stat.size, stat.mtime_ns])
    row = dict(vars(recording))
    for address_column in ("audio", "text", "voice_prompts"):
        del row[address_column]
    content = json.dumps([encoding, row, files], default=vars)
    digest = hashlib.blake2b(content.encode(), digest_size=16)
    return digest.hexdigest()


def _missing(recording: Recording, address: str) -> str:
    """Name the reason for which a file of a recording is missed."""
    if address == recording.audio:
        return "missing_audio"
    return "missing_text" if address == recording.text else "missing_prompt"


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

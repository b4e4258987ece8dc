"""What a recording's clips depend on, as one hash: an equal one means that it need not be encoded again."""

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
    recordings: Sequence[Recording],
    corpus: StoragePath,
    settings: CorpusSettings,
    encoder: str = "",
) -> tuple[list[Planned], list[Reject]]:
    """Look at every file once; of audio and texts only size and time of change count, for a corpus may have terabytes.

    Paths count from the corpus folder, so that a corpus that was moved as it is need not be encoded again.

    Args:
        recordings: of the corpus.
        corpus: its folder.
        settings: how it is encoded.
        encoder: the fingerprint of the encoder that makes features, where one does.

    Returns:
        Recordings whose files are all there, and a reject for each of the others.
    """
    encoding = json.dumps(
        [SCHEMA_VERSION, asdict(settings.mel), settings.language, settings.max_duration_s, encoder]
    )
    stats = _stats({address for recording in recordings for address in recording.files()})
    planned, rejects = [], []
    for recording in recordings:
        try:
            planned.append(Planned(recording, _fingerprint(recording, stats, corpus, encoding)))
        except RecordingError as error:
            rejects.append(Reject.of(recording.id, error))
    return planned, rejects


def signature_of(
    planned: Iterable[Planned], rejects: Iterable[Reject], settings: CorpusSettings
) -> str:
    """A hash of all that a folder of shards depends on, and of the rejects that are known so far."""
    digest = hashlib.sha256(json.dumps(asdict(settings), sort_keys=True).encode())
    for entry in sorted(
        [item.fingerprint for item in planned]
        + [f"{reject.id} {reject.reason}" for reject in rejects]
    ):
        digest.update(entry.encode())
    return digest.hexdigest()


def _fingerprint(
    recording: Recording, stats: dict[str, Stat | None], corpus: StoragePath, encoding: str
) -> str:
    files = []
    for address in recording.files():
        stat = stats[address]
        if stat is None:
            reason = {recording.audio: "missing_audio", recording.text: "missing_text"}.get(
                address, "missing_prompt"
            )
            raise RecordingError(reason, "no such file", where=address)
        files.append([StoragePath.of(address).relative_to(corpus), stat.size, stat.mtime_ns])
    row = {
        name: value
        for name, value in vars(recording).items()
        if name not in ("audio", "text", "voice_prompts")
    }
    return hashlib.blake2b(
        json.dumps([encoding, row, files], default=vars).encode(), digest_size=16
    ).hexdigest()


def _stats(addresses: set[str]) -> dict[str, Stat | None]:
    """Of local files one after the other, which threads would only slow down; of a store's many at a time."""
    places = {address: StoragePath.of(address) for address in addresses}
    remote = {address: place for address, place in places.items() if place.local is None}
    found = {address: place.stat() for address, place in places.items() if place.local is not None}
    with ThreadPoolExecutor(STORE_THREADS) as pool:
        return found | dict(zip(remote, pool.map(StoragePath.stat, remote.values()), strict=True))

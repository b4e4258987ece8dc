"""What a recording's clips depend on, as one hash: with an equal one they are not encoded again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

from vibesweep.config import CorpusSettings
from vibesweep.config.corpus import EDGE_SILENCE_S
from vibesweep.corpus.preprocess.files import FoundFiles, find_files
from vibesweep.corpus.preprocess.recurring_tags import with_recurring_tags
from vibesweep.corpus.recordings import Recording
from vibesweep.corpus.rejects import RecordingError, RecordingWarning, Reject
from vibesweep.corpus.shards.manifest import SCHEMA_VERSION
from vibesweep.corpus.text.turns import READING_VERSION
from vibesweep.storage import StoragePath


@dataclass(frozen=True)
class Planned:
    """A recording whose files are there, and the hash of all that its clips depend on."""

    recording: Recording
    fingerprint: str


class Fingerprinted(NamedTuple):
    """Recordings whose files are all there, a reject for each of the others, and warnings.

    The warnings are of files that the table names a little differently.
    """

    planned: list[Planned]
    rejects: list[Reject]
    warnings: list[RecordingWarning]


def fingerprint_all(
    recordings: Sequence[Recording],
    corpus: StoragePath,
    max_duration_s: float,
    encoder: str,
    max_edge_silence_s: float = EDGE_SILENCE_S,
) -> Fingerprinted:
    """Look at every file once, note who recurs over all texts, and fingerprint the recordings.

    Of audio and texts only size and time of change count, because a corpus may have terabytes.
    Paths count from the corpus folder, so that a corpus that was moved need not be encoded again.

    Args:
        recordings: of the corpus.
        corpus: its folder or table.
        max_duration_s: longer recordings are cut.
        encoder: fingerprint of the encoder that makes the family's columns.
        max_edge_silence_s: longer silence at a clip's ends is cut off.
    """
    encoding = json.dumps(
        [SCHEMA_VERSION, READING_VERSION, max_duration_s, max_edge_silence_s, encoder]
    )
    files = find_files(recordings, corpus)
    planned, rejects = [], []
    for recording in with_recurring_tags(files.recordings):
        try:
            fingerprint = _fingerprint(recording, files, corpus, encoding)
        except RecordingError as error:
            rejects.append(Reject.of(recording.id, error))
        else:
            planned.append(Planned(recording, fingerprint))
    return Fingerprinted(planned, rejects, list(files.warnings))


def signature_of(
    planned: Iterable[Planned], rejects: Iterable[Reject], settings: CorpusSettings
) -> str:
    """Hash all that a folder of shards depends on, and the rejects that are known so far."""
    facts = asdict(settings)
    del facts["columns"]  # the fingerprints have what was read with them
    content = json.dumps(facts, sort_keys=True)
    digest = hashlib.sha256(content.encode())
    entries = [item.fingerprint for item in planned]
    entries += [f"{reject.id} {reject.reason}" for reject in rejects]
    for entry in sorted(entries):
        digest.update(entry.encode())
    return digest.hexdigest()


def _fingerprint(
    recording: Recording, found: FoundFiles, corpus: StoragePath, encoding: str
) -> str:
    files = []
    for address in recording.files():
        stat = found.stats[address]
        if stat is None:
            reason = _missing(recording, address)
            cause = found.causes.get(address)
            detail = f"no such file; {cause}" if cause else "no such file"
            raise RecordingError(reason, detail, where=address)
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

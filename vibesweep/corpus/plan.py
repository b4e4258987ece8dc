"""Which recording goes into which split and file, and what the outcome depends on. The same on every machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vibesweep.corpus.manifest import SCHEMA_VERSION, SPLITS
from vibesweep.corpus.metadata import METADATA_FILE, SEGMENTS_FILE, Recording

VAL_FRACTION = 0.1
#: A corpus becomes about so many files, so that small ones keep all cores busy ...
FILES_AIMED_AT = 16
#: ... of so many recordings at least and at most: 64 clips of 8 s are 6 MB.
RECORDINGS_A_FILE = (2, 64)


@dataclass(frozen=True)
class ShardPlan:
    """A file to be written and the recordings that go into it."""

    name: str
    split: str
    recordings: tuple[Recording, ...]


def split_of(ids: Sequence[str], *, val_fraction: float = VAL_FRACTION, seed: int = 0) -> dict[str, str]:
    """The split of each id: the smallest hashes go to ``val``, so that order and machine play no part.

    Of two or more recordings at least one is in each split; a lone one is in ``train``.
    """
    ranked = sorted(ids, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())
    wanted = round(len(ranked) * val_fraction)
    val = set(ranked[: min(max(1, wanted), len(ranked) - 1)])
    return {name: "val" if name in val else "train" for name in ids}


def plan_shards(recordings: Sequence[Recording], splits: Mapping[str, str]) -> list[ShardPlan]:
    """Groups of recordings, each for one file: training first, by id."""
    least, most = RECORDINGS_A_FILE
    size = min(max(-(-len(recordings) // FILES_AIMED_AT), least), most)
    plans = []
    for split in SPLITS:
        members = sorted((r for r in recordings if splits[r.id] == split), key=lambda recording: recording.id)
        for number, first in enumerate(range(0, len(members), size)):
            plans.append(ShardPlan(f"{split}-{number:05d}.parquet", split, tuple(members[first : first + size])))
    return plans


def signature_of_input(corpus: Path, recordings: Sequence[Recording], choices: Mapping[str, Any]) -> str:
    """A hash of all that the shards depend on. Of audio and texts only size and time of change: a corpus may have terabytes."""
    digest = hashlib.sha256(json.dumps({"schema": SCHEMA_VERSION, **choices}, sort_keys=True).encode())
    for name in (METADATA_FILE, SEGMENTS_FILE):
        path = corpus / name
        digest.update(path.read_bytes() if path.is_file() else b"none")
    for path in (path for recording in recordings for path in (recording.audio, recording.text)):
        stat = path.stat()
        name = str(path.relative_to(corpus) if path.is_relative_to(corpus) else path)
        digest.update(f"{name}:{stat.st_size}:{stat.st_mtime_ns}".encode())
    return digest.hexdigest()

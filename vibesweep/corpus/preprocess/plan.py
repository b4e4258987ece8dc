"""Which recordings are encoded together, and which clips go into which file.

The plan is the same on every machine. Everything goes by the hashes of ids, so the order of a table
plays no part, a new recording moves few others, and the clips of one shard come from few files.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.shards.manifest import SPLITS
from vibesweep.corpus.shards.ranks import rank

PART_S = 600.0
"""Speech in a part: a second of work, 7 MB of mels."""
PARTS_AIMED_AT = 16
"""A small corpus becomes about so many parts, so that all cores are busy to the end."""
PART_LEAST_S = 20.0
UNKNOWN_S = 10.0
"""Length that a recording is taken to have where its table does not say."""

SHARD_BYTES = 160_000_000
"""Bytes of the family's arrays in a shard; mels compress to about 128 MB."""


@dataclass(frozen=True)
class Part:
    """Recordings that one task encodes into one file."""

    recordings: tuple[Planned, ...]

    @property
    def name(self) -> str:
        """Name of the file: a hash of what goes in."""
        content = "".join(planned.fingerprint for planned in self.recordings)
        digest = hashlib.blake2b(content.encode(), digest_size=10)
        return f"part-{digest.hexdigest()}.arrow"


@dataclass(frozen=True)
class ClipEntry:
    """An encoded clip and where it lies: the row of a file."""

    id: str
    recording: str
    source: str
    samples_hash: str
    patches: int
    people: tuple[str, ...]
    file: str
    row: int


@dataclass(frozen=True)
class ShardPlan:
    """A shard to be written: the rows that go into it, file by file."""

    name: str
    split: str
    sources: tuple[tuple[str, tuple[int, ...]], ...]


def parts_of(recordings: Sequence[Planned]) -> list[Part]:
    """Group recordings into parts of about equal length, in the order of their ranks."""
    ranked = sorted(recordings, key=lambda planned: rank(planned.recording.id))
    total_s = sum(_seconds(planned) for planned in ranked)
    wanted_s = max(total_s / PARTS_AIMED_AT, PART_LEAST_S)
    wanted_s = min(wanted_s, PART_S)
    groups: list[list[Planned]] = [[]]
    filled_s = 0.0
    for planned in ranked:
        if filled_s >= wanted_s:
            groups.append([])
            filled_s = 0.0
        groups[-1].append(planned)
        filled_s += _seconds(planned)
    return [Part(tuple(group)) for group in groups if group]


def plan_shards(
    clips: Sequence[ClipEntry], splits: Mapping[str, str], bytes_per_patch: int, label: str
) -> list[ShardPlan]:
    """Plan shards of about equal size, training first; the clips of a recording are neighbours.

    Args:
        clips: all of them.
        splits: split by recording.
        bytes_per_patch: size of a patch in a row.
        label: part of the files' names, so that no former file is written over.
    """
    plans = []
    for split in SPLITS:
        members = [clip for clip in clips if splits[clip.recording] == split]
        members.sort(key=lambda clip: (rank(clip.recording), clip.id))
        groups = _cut_evenly(members, bytes_per_patch)
        for number, group in enumerate(groups):
            name = f"{split}-{label}-{number:05d}.parquet"
            sources = _rows_by_file(group)
            plans.append(ShardPlan(name, split, sources))
    return plans


def duplicates(clips: Iterable[ClipEntry]) -> dict[str, str]:
    """Map each clip that has the samples of another one to the first of these by id."""
    first_with: dict[str, str] = {}
    found = {}
    for clip in sorted(clips, key=lambda clip: clip.id):
        first = first_with.setdefault(clip.samples_hash, clip.id)
        if first != clip.id:
            found[clip.id] = first
    return found


def _seconds(planned: Planned) -> float:
    return planned.recording.duration_s or UNKNOWN_S


def _cut_evenly(clips: Sequence[ClipEntry], bytes_per_patch: int) -> Iterator[list[ClipEntry]]:
    total = sum(clip.patches for clip in clips)
    total_bytes = total * bytes_per_patch
    shards = max(1, math.ceil(total_bytes / SHARD_BYTES))
    group: list[ClipEntry] = []
    done = 0
    shards_done = 0
    for clip in clips:
        group.append(clip)
        done += clip.patches
        if done * shards >= (shards_done + 1) * total:
            yield group
            group = []
            shards_done = done * shards // total


def _rows_by_file(clips: Iterable[ClipEntry]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    files: dict[str, list[int]] = {}
    for clip in clips:
        rows = files.setdefault(clip.file, [])
        rows.append(clip.row)
    sources = [(file, tuple(sorted(rows))) for file, rows in files.items()]
    return tuple(sources)

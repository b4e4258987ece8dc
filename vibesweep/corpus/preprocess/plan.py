"""Which recordings are encoded together, who is held out, and which clips go into which file. The same on every machine.

Everything goes by the hashes of ids. So the order of a table plays no part, a new recording moves few others, and the clips of one
shard come from few files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from vibesweep.config import CorpusSettings, MelSettings
from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.shards.manifest import SPLITS
from vibesweep.errors import CorpusError

PART_S = 600.0
"""Speech in a part: a second of work, 7 MB of mels."""
PARTS_AIMED_AT = 16
"""A small corpus becomes about so many parts, so that all cores are busy to the end."""
PART_LEAST_S = 20.0
UNKNOWN_S = 10.0
"""What a recording is taken to last where its table does not say."""

SHARD_BYTES = 160_000_000
"""Of mels in a shard, which compress to about 128 MB."""


@dataclass(frozen=True)
class Part:
    """Recordings that one task encodes into one file."""

    recordings: tuple[Planned, ...]

    @property
    def name(self) -> str:
        """The file's name: a hash of what goes in."""
        digest = hashlib.blake2b(
            "".join(planned.fingerprint for planned in self.recordings).encode(), digest_size=10
        )
        return f"part-{digest.hexdigest()}.arrow"

    @property
    def seconds(self) -> float:
        """How long its recordings are said to be."""
        return sum(map(_seconds, self.recordings))


@dataclass(frozen=True)
class ClipEntry:
    """An encoded clip and where it lies: the row of a file."""

    id: str
    recording: str
    source: str
    samples_hash: str
    frames: int
    people: tuple[str, ...]
    file: str
    row: int


@dataclass(frozen=True)
class ShardPlan:
    """A shard to be written: the rows that go into it, file by file."""

    name: str
    split: str
    sources: tuple[tuple[str, tuple[int, ...]], ...]


def rank(name: str, seed: int = 0) -> bytes:
    """What recordings and people are ordered by."""
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def parts_of(recordings: Sequence[Planned]) -> list[Part]:
    """Groups of recordings of about equal length, in the order of their ranks."""
    ranked = sorted(recordings, key=lambda planned: rank(planned.recording.id))
    wanted_s = min(PART_S, max(sum(map(_seconds, ranked)) / PARTS_AIMED_AT, PART_LEAST_S))
    groups: list[list[Planned]] = [[]]
    filled_s = 0.0
    for planned in ranked:
        if filled_s >= wanted_s:
            groups.append([])
            filled_s = 0.0
        groups[-1].append(planned)
        filled_s += _seconds(planned)
    return [Part(tuple(group)) for group in groups if group]


def assign_splits(
    clips: Sequence[ClipEntry], settings: CorpusSettings, left_out: Iterable[str] = ()
) -> dict[str, str]:
    """The split of each recording.

    Recordings with the same samples, and with ``split_by="speaker"`` those of one person, are on one side together. The share is
    met as nearly as such groups allow; where there are two groups or more, none of the splits is empty.

    Args:
        clips: all that can be used.
        settings: what to hold out.
        left_out: ids of recordings that cannot be used, which a list of ids may name.

    Raises:
        CorpusError: a listed id is unknown, nothing is left for training, or all people speak with each other.
    """
    groups = _groups(clips, settings.split_by)
    held_out = (
        _listed(groups, settings, set(left_out)) if settings.val_ids else _drawn(groups, settings)
    )
    return {
        recording: "val" if group in held_out else "train"
        for group in groups
        for recording in group.recordings
    }


def plan_shards(
    clips: Sequence[ClipEntry], splits: Mapping[str, str], mel: MelSettings, label: str
) -> list[ShardPlan]:
    """Shards of about equal size, training first; the clips of a recording are neighbours.

    Args:
        clips: all of them.
        splits: of the recordings.
        mel: whose bins give a frame's size.
        label: part of the files' names, so that no former file is written over.
    """
    plans = []
    for split in SPLITS:
        members = sorted(
            (clip for clip in clips if splits[clip.recording] == split),
            key=lambda clip: (rank(clip.recording), clip.id),
        )
        for number, group in enumerate(_cut_evenly(members, mel)):
            plans.append(ShardPlan(f"{split}-{label}-{number:05d}.parquet", split, _by_file(group)))
    return plans


def duplicates(clips: Iterable[ClipEntry]) -> dict[str, str]:
    """Clips with the samples of another one, and the first of these by id."""
    first: dict[str, str] = {}
    ordered = sorted(clips, key=lambda clip: clip.id)
    return {
        clip.id: first[clip.samples_hash]
        for clip in ordered
        if first.setdefault(clip.samples_hash, clip.id) != clip.id
    }


def _seconds(planned: Planned) -> float:
    return planned.recording.duration_s or UNKNOWN_S


@dataclass(frozen=True)
class _Group:
    """Recordings that stay together, and the ids or people that they are counted and named by."""

    keys: frozenset[str]
    recordings: frozenset[str]


def _groups(clips: Sequence[ClipEntry], split_by: str) -> list[_Group]:
    """Recordings that share samples or people, directly or through others (connected components)."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for clip in clips:
        together = [f"samples {clip.samples_hash}"] + [
            f"person {person}" for person in clip.people if split_by == "speaker"
        ]
        for node in together:
            parent[root(f"recording {clip.recording}")] = root(node)
    members: dict[str, set[tuple[str, str]]] = {}
    for node in list(parent):
        kind, _, name = node.partition(" ")
        members.setdefault(root(node), set()).add((kind, name))
    counted = "person" if split_by == "speaker" else "recording"
    return [
        _Group(
            frozenset(name for kind, name in found if kind == counted),
            frozenset(name for kind, name in found if kind == "recording"),
        )
        for found in members.values()
    ]


def _drawn(groups: Sequence[_Group], settings: CorpusSettings) -> set[_Group]:
    """Groups of the smallest ranks, as long as each brings the number held out nearer to the one wanted."""
    if len(groups) < 2:
        if settings.split_by == "speaker" and groups and len(groups[0].recordings) > 1:
            found = f"all {len(groups[0].keys)} people are one group: each speaks with another of it, or there is only one"
            raise CorpusError(found, where="split by speaker", fix="split by recording")
        return set()
    ranked = sorted(groups, key=lambda group: min(rank(key, settings.seed) for key in group.keys))
    total = sum(len(group.keys) for group in groups)
    wanted = min(max(1, round(total * settings.val_fraction)), total - 1)
    held_out: set[_Group] = set()
    count = 0
    for group in ranked:
        if (
            abs(count + len(group.keys) - wanted) < abs(count - wanted)
            and len(held_out) < len(groups) - 1
        ):
            held_out.add(group)
            count += len(group.keys)
    return held_out or {min(ranked, key=lambda group: len(group.keys))}


def _listed(groups: Sequence[_Group], settings: CorpusSettings, left_out: set[str]) -> set[_Group]:
    wanted = set(settings.val_ids)
    unknown = sorted(wanted - left_out - {key for group in groups for key in group.keys})
    if unknown:
        what = "people" if settings.split_by == "speaker" else "recordings"
        raise CorpusError(
            f"there are no {what} {', '.join(unknown[:5])}",
            where="val_ids",
            fix="name those that the corpus has",
        )
    held_out = {group for group in groups if group.keys & wanted}
    if len(held_out) == len(groups):
        raise CorpusError("nothing is left for training", where="val_ids", fix="hold out less")
    return held_out


def _cut_evenly(clips: Sequence[ClipEntry], mel: MelSettings) -> Iterator[list[ClipEntry]]:
    total = sum(clip.frames for clip in clips)
    count = max(1, -(-total * mel.n_mels * 2 // SHARD_BYTES))
    group: list[ClipEntry] = []
    done = cut = 0
    for clip in clips:
        group.append(clip)
        done += clip.frames
        if done * count >= (cut + 1) * total:
            yield group
            group, cut = [], done * count // total


def _by_file(clips: Iterable[ClipEntry]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    files: dict[str, list[int]] = {}
    for clip in clips:
        files.setdefault(clip.file, []).append(clip.row)
    return tuple((file, tuple(sorted(rows))) for file, rows in files.items())

"""Which recordings are held out for validation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from vibesweep.config import CorpusSettings
from vibesweep.corpus.preprocess.plan import ClipEntry
from vibesweep.corpus.shards.ranks import rank
from vibesweep.errors import CorpusError

UNKNOWN_SHOWN = 5


def assign_splits(
    clips: Sequence[ClipEntry], settings: CorpusSettings, left_out: Iterable[str] = ()
) -> dict[str, str]:
    """Assign ``train`` or ``val`` to each recording.

    Recordings with the same samples, and with ``split_by="speaker"`` those of one person, are on
    one side together. The share is met as nearly as such groups allow; where there are two groups
    or more, none of the splits is empty.

    Args:
        clips: all that can be used.
        settings: what to hold out.
        left_out: ids of recordings that cannot be used, which ``val_ids`` may name.

    Raises:
        CorpusError: a listed id is unknown, nothing is left for training, or all people speak with
            each other.
    """
    groups = _groups(clips, settings.split_by)
    if settings.val_ids:
        held_out = _listed(groups, settings, set(left_out))
    else:
        held_out = _drawn(groups, settings)
    splits = {}
    for group in groups:
        split = "val" if group in held_out else "train"
        splits.update(dict.fromkeys(group.recordings, split))
    return splits


@dataclass(frozen=True)
class _Group:
    """Recordings that stay together, and the ids or people that they are counted and named by."""

    keys: frozenset[str]
    recordings: frozenset[str]


class _Components:
    """Nodes that are tied directly or through others (union-find with path halving)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def root(self, node: str) -> str:
        """Find the node that stands for all that are tied to this one."""
        parent = self._parent
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    def tie(self, one: str, other: str) -> None:
        """Put two nodes into one component."""
        self._parent[self.root(one)] = self.root(other)

    def members(self) -> list[list[str]]:
        """List the components."""
        found: dict[str, list[str]] = {}
        for node in list(self._parent):
            found.setdefault(self.root(node), []).append(node)
        return list(found.values())


def _groups(clips: Sequence[ClipEntry], split_by: str) -> list[_Group]:
    """Group recordings that share samples or, by speaker, people."""
    components = _Components()
    for clip in clips:
        recording = f"recording {clip.recording}"
        components.tie(recording, f"samples {clip.samples_hash}")
        if split_by == "speaker":
            for person in clip.people:
                components.tie(recording, f"person {person}")
    kind = "person" if split_by == "speaker" else "recording"
    return [
        _Group(_names(nodes, kind), _names(nodes, "recording")) for nodes in components.members()
    ]


def _names(nodes: Iterable[str], kind: str) -> frozenset[str]:
    prefix = f"{kind} "
    return frozenset(node.removeprefix(prefix) for node in nodes if node.startswith(prefix))


def _drawn(groups: Sequence[_Group], settings: CorpusSettings) -> set[_Group]:
    """Draw groups by rank, as long as each brings the number held out nearer to the one wanted."""
    if len(groups) < 2:
        _refuse_one_group(groups, settings)
        return set()

    def lowest_rank(group: _Group) -> bytes:
        return min(rank(key, settings.seed) for key in group.keys)

    ranked = sorted(groups, key=lowest_rank)
    total = sum(len(group.keys) for group in groups)
    share = round(total * settings.val_fraction)
    wanted = min(max(share, 1), total - 1)
    held_out: set[_Group] = set()
    missing = wanted
    for group in ranked:
        missing_with_it = missing - len(group.keys)
        comes_nearer = abs(missing_with_it) < abs(missing)
        if comes_nearer and len(held_out) < len(groups) - 1:
            held_out.add(group)
            missing = missing_with_it
    if not held_out:
        smallest = min(ranked, key=lambda group: len(group.keys))
        held_out.add(smallest)
    return held_out


def _refuse_one_group(groups: Sequence[_Group], settings: CorpusSettings) -> None:
    if settings.split_by == "speaker" and groups and len(groups[0].recordings) > 1:
        found = (
            f"all {len(groups[0].keys)} people are one group: each speaks with another of it,"
            " or there is only one"
        )
        raise CorpusError(found, where="split by speaker", fix="split by recording")


def _listed(groups: Sequence[_Group], settings: CorpusSettings, left_out: set[str]) -> set[_Group]:
    """Take the groups that ``val_ids`` names."""
    wanted = set(settings.val_ids)
    known = left_out.union(*(group.keys for group in groups))
    unknown = sorted(wanted - known)
    if unknown:
        what = "people" if settings.split_by == "speaker" else "recordings"
        found = f"there are no {what} {', '.join(unknown[:UNKNOWN_SHOWN])}"
        raise CorpusError(found, where="val_ids", fix="name those that the corpus has")
    held_out = {group for group in groups if group.keys & wanted}
    if len(held_out) == len(groups):
        raise CorpusError("nothing is left for training", where="val_ids", fix="hold out less")
    return held_out

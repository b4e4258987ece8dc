"""The training split's small columns: all that a plan of steps needs to know of clips whose mels are read later, or never at once.

Shapes: ``N`` clips in the order of the manifest's files and their rows, ``G`` row groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.corpus.shards.schema import Clip, open_parquet, shard_rows
from vibesweep.errors import ShardsError
from vibesweep.models.family import (
    STOP_CLASS_WEIGHTS,
    ClipCounts,
    Ints,
    LossNormalizer,
    SpeechModel,
)
from vibesweep.storage import StorageAddress, StoragePath

Floats = npt.NDArray[np.float64]

COLUMNS = [
    "id",
    "frames",
    "latents",
    "tokens",
    "duration_s",
    "turns.list.element.speaker",
    "turns.list.element.phonemes",
]
VOICE_GROUPS = 128
"""Row groups that voice prompts are drawn from at most: 12 hours of speech, 80 MB encoded, in each worker's memory."""


@dataclass(frozen=True)
class RowGroup:
    """What is read at once: a row group of a file."""

    file: str
    number: int


@dataclass(frozen=True, eq=False)
class Index:
    """The clips of a split, by number. A clip's row is its number less its group's first.

    Attributes:
        ids: of the clips [N].
        patches: latents to be spoken [N].
        lengths: positions, as :attr:`vibesweep.models.family.EncodedClip.length` counts them [N].
        seconds: of speech [N].
        people: who speaks in each clip [N].
        groups: the row groups [G].
        starts: number of each group's first clip, and one past the last clip [G + 1].
        columns: of a row that the model's family encodes.
        stop_weights: of the model's family.
    """

    ids: tuple[str, ...]
    patches: Ints
    lengths: Ints
    seconds: Floats
    people: tuple[tuple[str, ...], ...]
    groups: tuple[RowGroup, ...]
    starts: Ints
    columns: tuple[str, ...] = ()
    stop_weights: tuple[float, float] = STOP_CLASS_WEIGHTS

    def __len__(self) -> int:
        """How many clips there are."""
        return len(self.patches)

    def lean(self) -> Index:
        """Without ids and people, which cost most: all that a plan of steps reads."""
        return replace(self, ids=(), people=())

    def clips_of(self, group: int) -> Ints:
        """The numbers of a row group's clips."""
        return np.arange(self.starts[group], self.starts[group + 1])

    def sizes(self, clips: Ints) -> LossNormalizer:
        """What the losses of a step of these clips are divided by."""
        return LossNormalizer.of(self.patches[clips].tolist(), self.stop_weights)


def read_index(shards: StorageAddress, family: type[SpeechModel], split: str = "train") -> Index:
    """Read the small columns of a split, once for all trials of a model of this family.

    Raises:
        ShardsError: the shards cannot be read, or the split is empty.
    """
    groups, tables = (
        zip(*_read(shards, split), strict=True)
        if read_manifest(shards).clips.get(split)
        else ((), ())
    )
    if not sum(map(len, tables)):
        raise ShardsError(
            f"the {split} split is empty", where=str(shards), fix="preprocess more recordings"
        )
    table = pa.concat_tables(tables)
    turns = table["turns"].combine_chunks()
    people = tuple(
        tuple(dict.fromkeys(turn["speaker"] for turn in clip)) for clip in turns.to_pylist()
    )
    patches, lengths = family.lengths(_counts(table, turns, people))
    return Index(
        ids=tuple(table["id"].to_pylist()),
        patches=patches,
        lengths=lengths,
        seconds=table["duration_s"].to_numpy(),
        people=people,
        groups=groups,
        starts=np.cumsum([0, *map(len, tables)]),
        columns=family.columns,
        stop_weights=family.stop_weights,
    )


def voice_groups(index: Index) -> Ints:
    """Row groups whose clips voice prompts are drawn from: all, or so many that take in as many people as can be.

    A prompt comes from another clip of the same person, so each is wanted twice; who is in none of the groups is heard without one.
    """
    if len(index.groups) <= VOICE_GROUPS:
        return np.arange(len(index.groups))
    heard: Counter[str] = Counter()
    chosen: list[int] = []
    spare: list[int] = []
    for group in np.random.default_rng(0).permutation(len(index.groups)).tolist():
        people = Counter(
            person for clip in index.clips_of(group).tolist() for person in index.people[clip]
        )
        wanted = any(heard[person] < 2 for person in people)
        (chosen if wanted else spare).append(group)
        heard += people if wanted else Counter()
    return np.sort([*chosen, *spare][:VOICE_GROUPS])


def read_clips(
    index: Index, shards: StoragePath, groups: Ints, wanted: Ints
) -> Iterator[tuple[int, Clip]]:
    """Read each of these row groups once, one in memory at a time, and yield (number, row) of the wanted clips."""
    for group in groups.tolist():
        inside = np.intersect1d(index.clips_of(group), wanted)
        if len(inside):
            where = index.groups[group]
            table = open_parquet(shards / where.file).read_row_group(
                where.number, columns=list(index.columns)
            )
            taken = table.take(pa.array(inside - index.starts[group])).combine_chunks()
            rows = (row for batch in taken.to_batches() for row in shard_rows(batch))
            yield from zip(inside.tolist(), rows, strict=True)


def _read(shards: StorageAddress, split: str) -> Iterator[tuple[RowGroup, pa.Table]]:
    folder = StoragePath.of(shards)
    for shard in read_manifest(folder).shards:
        if shard.split == split:
            file = open_parquet(folder / shard.name)
            for number in range(file.num_row_groups):
                yield (
                    RowGroup(shard.name, number),
                    _lean(file.read_row_group(number, columns=COLUMNS)),
                )


def _lean(table: pa.Table) -> pa.Table:
    """Phonemes become their count, so that no text of a large corpus is kept."""
    turns = table["turns"].combine_chunks()
    speakers, phonemes = (
        turns.values.field("speaker"),
        pc.list_value_length(turns.values.field("phonemes")),
    )
    slim = pa.ListArray.from_arrays(
        turns.offsets, pa.StructArray.from_arrays([speakers, phonemes], ["speaker", "phonemes"])
    )
    return table.set_column(table.schema.get_field_index("turns"), "turns", slim)


def _counts(
    table: pa.Table, turns: pa.ListArray, people: tuple[tuple[str, ...], ...]
) -> ClipCounts:
    counts, phonemes = _turns_and_phonemes(turns)
    frames, latents, tokens = (
        pc.fill_null(table[name], 0).to_numpy().astype(np.int64)
        for name in ("frames", "latents", "tokens")
    )
    return ClipCounts(
        frames, counts, np.array([len(clip) for clip in people]), phonemes, latents, tokens
    )


def _turns_and_phonemes(turns: pa.ListArray) -> tuple[Ints, Ints]:
    """How many turns each clip has, and how many phonemes they hold together."""
    offsets = turns.offsets.to_numpy()
    summed = np.concatenate([[0], np.cumsum(turns.values.field("phonemes").to_numpy())])
    return np.diff(offsets).astype(np.int64), np.diff(summed[offsets])

"""The small columns of a split: what a step plan needs to know of clips that are read later.

Shapes: ``N`` clips in the order of the manifest's files and their rows, ``G`` row groups.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.corpus.shards.schema import Clip, clips_of, training_columns
from vibesweep.errors import ShardsError
from vibesweep.models.losses import STOP_CLASS_WEIGHTS, LossNormalizer
from vibesweep.models.speech_model import SpeechModel
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.storage.parquet import open_parquet
from vibesweep.training.data.arrays import Floats, Ints

People = tuple[tuple[str, ...], ...]
"""The names of who speaks in each clip."""

COLUMNS = ["id", "patches", "tokens", "duration_s", "turns.list.element.speaker"]
VOICE_GROUPS = 128
"""Most row groups that voice prompts are drawn from: 12 hours of speech, which take 80 MB encoded
in each worker's memory."""


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file: what is read at once."""

    file: str
    number: int


@dataclass(frozen=True, eq=False)
class Index:
    """The clips of a split, by number. A clip's row is its number less its row group's first.

    Attributes:
        ids: clip ids [N].
        patches: latents to be spoken [N].
        lengths: tokens, as :attr:`vibesweep.models.clips.EncodedClip.length` counts them [N].
        seconds: duration of the speech [N].
        people: who speaks in each clip [N].
        groups: the row groups [G].
        starts: number of each row group's first clip, and one past the last clip [G + 1].
        stop_weights: class weights of the model family's stop loss.
    """

    ids: tuple[str, ...]
    patches: Ints
    lengths: Ints
    seconds: Floats
    people: People
    groups: tuple[RowGroup, ...]
    starts: Ints
    stop_weights: tuple[float, float] = STOP_CLASS_WEIGHTS

    def __len__(self) -> int:
        """Return the number of clips."""
        return len(self.patches)

    def without_names(self) -> Index:
        """Drop ids and people: they take the most memory, and a step plan does not read them."""
        return replace(self, ids=(), people=())

    def clips_of(self, group: int) -> Ints:
        """Return the numbers of a row group's clips."""
        first, past = self.starts[group : group + 2]
        return np.arange(first, past)

    def normalizer(self, clips: Ints) -> LossNormalizer:
        """Return what the losses of a step of these clips are divided by."""
        patches = self.patches[clips]
        return LossNormalizer.of(patches.tolist(), self.stop_weights)


def read_index(shards: StorageAddress, model: SpeechModel, split: str = "train") -> Index:
    """Read the small columns of a split, once for all trials of this model.

    Raises:
        ShardsError: the shards cannot be read, or the split is empty.
    """
    row_groups = list(_read_row_groups(shards, split))
    clip_counts = [len(table) for _, table in row_groups]
    if not sum(clip_counts):
        raise ShardsError(
            f"the {split} split is empty", where=str(shards), fix="preprocess more recordings"
        )
    table = pa.concat_tables([table for _, table in row_groups])
    people = _people_of(table)
    patches = _whole_numbers(table, "patches")
    people_counts = np.array([len(clip) for clip in people], dtype=np.int64)
    prompt_tokens = model.prompt_tokens * people_counts
    lengths = patches + _whole_numbers(table, "tokens") + prompt_tokens
    return Index(
        ids=tuple(table["id"].to_pylist()),
        patches=patches,
        lengths=lengths,
        seconds=table["duration_s"].to_numpy(),
        people=people,
        groups=tuple(group for group, _ in row_groups),
        starts=np.cumsum([0, *clip_counts]),
        stop_weights=model.stop_weights,
    )


def voice_groups(index: Index) -> Ints:
    """Choose row groups to draw voice prompts from, for as many people as possible.

    A prompt comes from another clip of the same person, so two clips of each person are wanted. Who
    is in none of the chosen row groups is trained without a prompt.

    Returns:
        Numbers of all row groups, or of :data:`VOICE_GROUPS` of them where there are more.
    """
    if len(index.groups) <= VOICE_GROUPS:
        return np.arange(len(index.groups))
    clips_heard: Counter[str] = Counter()
    chosen: list[int] = []
    spare: list[int] = []
    order = np.random.default_rng(0).permutation(len(index.groups))
    for group in order.tolist():
        people: Counter[str] = Counter()
        for clip in index.clips_of(group).tolist():
            people.update(index.people[clip])
        if any(clips_heard[person] < 2 for person in people):
            chosen.append(group)
            clips_heard.update(people)
        else:
            spare.append(group)
    ranked = [*chosen, *spare]
    return np.sort(ranked[:VOICE_GROUPS])


def read_wanted_clips(
    index: Index, shards: StoragePath, groups: Ints, wanted: Ints
) -> Iterator[tuple[int, Clip]]:
    """Yield (number, clip) of the wanted clips, with one row group in memory at a time.

    Args:
        index: index of the split.
        shards: the folder of shards.
        groups: numbers of the row groups to look into; each is read once.
        wanted: clip numbers.
    """
    for group in groups.tolist():
        inside = np.intersect1d(index.clips_of(group), wanted)
        if not len(inside):
            continue
        row_group = index.groups[group]
        file = open_parquet(shards / row_group.file)
        table = file.read_row_group(row_group.number, columns=training_columns(file))
        rows = pa.array(inside - index.starts[group])
        taken = table.take(rows).combine_chunks()
        clips = (clip for batch in taken.to_batches() for clip in clips_of(batch))
        yield from zip(inside.tolist(), clips, strict=True)


def _read_row_groups(shards: StorageAddress, split: str) -> Iterator[tuple[RowGroup, pa.Table]]:
    """Yield each row group of a split with its small columns."""
    folder = StoragePath.of(shards)
    for shard in read_manifest(folder).shards:
        if shard.split != split:
            continue
        file = open_parquet(folder / shard.name)
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, columns=COLUMNS)
            yield RowGroup(shard.name, number), table


def _people_of(table: pa.Table) -> People:
    """List who speaks in each clip, in order of first appearance."""
    people = []
    for turns in table["turns"].to_pylist():
        speakers = dict.fromkeys(turn["speaker"] for turn in turns)
        people.append(tuple(speakers))
    return tuple(people)


def _whole_numbers(table: pa.Table, column: str) -> Ints:
    """Read a column of whole numbers [N]."""
    numbers: Ints = table[column].to_numpy().astype(np.int64)
    return numbers

"""Encoded clips become shards: rows gathered from parts and former shards, sorted by length, with their statistics.

A shard's clips come in the order of their lengths, in row groups of which a reader reads about 4 MB: what is read together pads little,
and a reader that takes row groups from all over gets a good mix.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vibesweep.config import MelSettings
from vibesweep.corpus.preprocess.parts import is_part, read_part
from vibesweep.corpus.preprocess.plan import ClipEntry, ShardPlan
from vibesweep.corpus.rejects import Warned
from vibesweep.corpus.shards.schema import (
    LARGE_COLUMNS,
    ROW_SCHEMA,
    arrays_of,
    open_parquet,
    write_parquet,
)
from vibesweep.corpus.shards.statistics import Moments, added_up
from vibesweep.corpus.sound.rates import FRAMES_PER_PATCH
from vibesweep.storage import StoragePath

ROW_GROUP_BYTES = 4_000_000
"""Of the features of an encoder, where the clips have any; of mels, where not. Nobody reads both."""
COUNTED = ("speakers", "languages", "symbols", "unknown_characters")
"""Clips in which a person speaks, turns in a language, phoneme symbols, characters that no language here can say."""


_MOMENTS = ("mel", "patches", "acoustic")


@dataclass(frozen=True, eq=False)
class ShardSummary:
    """What is in a shard: all that the manifest adds up.

    Attributes:
        name: of the file.
        split: of its clips.
        rows: clips.
        frames: of all clips.
        counts: for each of :data:`COUNTED`, how often what occurs.
        warnings: what is odd about its recordings.
        mel: moments of the mel bins over frames.
        patches: moments of pairs of a patch's values; of training clips only.
        acoustic: moments of all values of all acoustic latents as one column; of training clips only.
    """

    name: str
    split: str
    rows: int
    frames: int
    counts: dict[str, dict[str, int]]
    warnings: list[Warned]
    mel: Moments
    patches: Moments
    acoustic: Moments

    def to_row(self) -> dict[str, Any]:
        """A row of a Ray dataset."""
        small = {
            name: getattr(self, name) for name in ("name", "split", "rows", "frames", "counts")
        }
        moments = {
            f"{name}.{key}": value
            for name in _MOMENTS
            for key, value in vars(getattr(self, name)).items()
        }
        return {
            "summary": json.dumps(
                small | {"warnings": [asdict(warned) for warned in self.warnings]}
            ),
            **moments,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ShardSummary:
        """The summary of such a row."""
        found = json.loads(row["summary"])
        moments = {
            name: Moments(*(row[f"{name}.{key}"] for key in ("count", "mean", "products")))
            for name in _MOMENTS
        }
        return cls(
            **{**found, **moments, "warnings": [Warned(**warned) for warned in found["warnings"]]}
        )


def entries_of(place: StoragePath, wanted: Container[str]) -> Iterator[ClipEntry]:
    """The clips of a part or a shard whose recordings are wanted, by fingerprint; their mels are not read."""
    columns = ["id", "recording", "source", "fingerprint", "samples_hash", "frames", "turns"]
    table = (
        read_part(place).select(columns)
        if is_part(place)
        else open_parquet(place).read(columns=columns)
    )
    for number, row in enumerate(table.to_pylist()):
        if row.pop("fingerprint") in wanted:
            people = tuple(dict.fromkeys(turn["speaker"] for turn in row.pop("turns")))
            yield ClipEntry(**row, people=people, file=str(place), row=number)


def write_shard(plan: ShardPlan, folder: StoragePath, mel: MelSettings) -> ShardSummary:
    """Gather a shard's rows, and write them by length, a row group at a time."""
    tables, rows = _gathered(plan)
    size = max(1, round(ROW_GROUP_BYTES * len(rows) / sum(row.size for row in rows)))
    tally = _Tally(
        Moments.none(mel.n_mels),
        Moments.none(mel.n_mels * FRAMES_PER_PATCH, pairs=True),
        Moments.none(1),
    )
    small: list[pa.Table] = []

    def groups() -> Iterator[pa.Table]:
        nonlocal tally
        for first in range(0, len(rows), size):
            group = _of_split(_group(tables, rows[first : first + size]), plan.split)
            tally = tally.plus(group, plan.split)
            small.append(group.drop_columns(list(LARGE_COLUMNS)))
            yield group

    write_parquet(groups(), ROW_SCHEMA, folder / plan.name, compression="zstd")
    return _summary(plan, pa.concat_tables(small), tally)


class _Row(NamedTuple):
    """A row of one of several tables; they sort by length."""

    frames: int
    id: str
    table: int
    row: int
    size: int


def _gathered(plan: ShardPlan) -> tuple[list[pa.Table], list[_Row]]:
    """The tables that hold a plan's rows, parts mapped into memory and not read yet, and the rows by length."""
    tables, rows = [], []
    for number, (file, numbers) in enumerate(plan.sources):
        place = StoragePath.of(file)
        table = read_part(place) if is_part(place) else _from_shard(place, numbers)
        chosen = numbers if is_part(place) else range(len(numbers))
        lengths, ids, sizes = table["frames"].to_pylist(), table["id"].to_pylist(), _sizes(table)
        rows += [_Row(lengths[row], ids[row], number, row, sizes[row]) for row in chosen]
        tables.append(table)
    return tables, sorted(rows)


def _sizes(table: pa.Table) -> list[int]:
    """Bytes of each row that are read: of features where there are any, else of the mel. No value is looked at."""
    mel, acoustic, semantic = (
        pc.binary_length(table[name]) for name in ("mel", "acoustic", "semantic")
    )
    sizes: list[int] = pc.coalesce(pc.add(acoustic, semantic), mel).to_pylist()
    return sizes


def _from_shard(place: StoragePath, numbers: Sequence[int]) -> pa.Table:
    """Rows of a shard by number, in memory a row group at a time."""
    file = open_parquet(place)
    wanted = np.asarray(numbers)
    taken, first = [], 0
    for group in range(file.num_row_groups):
        past = first + file.metadata.row_group(group).num_rows
        inside = wanted[(wanted >= first) & (wanted < past)] - first
        if len(inside):
            taken.append(
                file.read_row_group(group, columns=ROW_SCHEMA.names).take(pa.array(inside))
            )
        first = past
    return pa.concat_tables(taken).combine_chunks()


def _group(tables: Sequence[pa.Table], rows: Sequence[_Row]) -> pa.Table:
    """These rows in this order. Each table is one chunk: of more, take() would first make one piece of all."""
    by_table: dict[int, list[tuple[int, int]]] = {}
    for at, row in enumerate(rows):
        by_table.setdefault(row.table, []).append((row.row, at))
    taken = [
        tables[number].take(pa.array([row for row, _ in pairs])).cast(ROW_SCHEMA)
        for number, pairs in by_table.items()
    ]
    places = np.array([at for pairs in by_table.values() for _, at in pairs])
    return pa.concat_tables(taken).combine_chunks().take(pa.array(np.argsort(places)))


def _of_split(rows: pa.Table, split: str) -> pa.Table:
    return rows.set_column(
        rows.schema.get_field_index("split"), "split", pa.array([split] * len(rows), pa.string())
    )


class _Tally(NamedTuple):
    """Moments so far: of the mel bins over frames, of pairs of a training patch's values (5 MB), and of a training latent's values."""

    mel: Moments
    patches: Moments
    acoustic: Moments

    def plus(self, group: pa.Table, split: str) -> _Tally:
        """With a row group's clips."""
        clips, latents = _arrays(group, "mel", "frames"), _arrays(group, "acoustic", "latents")
        if split != "train":
            return _Tally(self.mel + Moments.of(np.concatenate(clips)), self.patches, self.acoustic)
        patches = Moments.of(np.concatenate([_patches(clip) for clip in clips]), pairs=True)
        rest = Moments.of(
            np.concatenate(
                [clip[len(clip) // FRAMES_PER_PATCH * FRAMES_PER_PATCH :] for clip in clips]
            )
        )
        acoustic = added_up([self.acoustic, *(Moments.of(clip.reshape(-1, 1)) for clip in latents)])
        return _Tally(
            self.mel + patches.folded(FRAMES_PER_PATCH) + rest, self.patches + patches, acoustic
        )


def _summary(plan: ShardPlan, rows: pa.Table, tally: _Tally) -> ShardSummary:
    turns = pc.list_flatten(rows["turns"])
    return ShardSummary(
        name=plan.name,
        split=plan.split,
        rows=len(rows),
        frames=tally.mel.count,
        counts={
            "speakers": _clips_by_speaker(rows),
            "languages": _counts(pc.struct_field(turns, "language")),
            "symbols": _counts(pc.list_flatten(pc.struct_field(turns, "phonemes"))),
            "unknown_characters": _sums(rows["unknown_characters"]),
        },
        warnings=list(_warnings(rows)),
        mel=tally.mel,
        patches=tally.patches,
        acoustic=tally.acoustic,
    )


def _arrays(group: pa.Table, column: str, lengths: str) -> list[npt.NDArray[np.float16]]:
    """The arrays of a column; those that are null are left out."""
    found = (
        array
        for batch in group.select([column, lengths]).to_batches()
        for array in arrays_of(batch, column, lengths)
    )
    return [array for array in found if array is not None]


def _patches(clip: npt.NDArray[np.float16]) -> npt.NDArray[np.float16]:
    """A clip's whole patches, one a row."""
    count = len(clip) // FRAMES_PER_PATCH
    return clip[: count * FRAMES_PER_PATCH].reshape(count, -1)


def _counts(values: Any) -> dict[str, int]:
    return {entry["values"]: entry["counts"] for entry in pc.value_counts(values).to_pylist()}


def _clips_by_speaker(rows: pa.Table) -> dict[str, int]:
    people: Counter[str] = Counter()
    for turns in rows["turns"].to_pylist():
        people.update({turn["speaker"] for turn in turns})
    return dict(people)


def _sums(maps: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for pairs in maps.to_pylist():
        total.update(dict(pairs or ()))
    return dict(total)


def _warnings(rows: pa.Table) -> Iterator[Warned]:
    for row in rows.select(["id", "source", "warnings"]).to_pylist():
        for warning in row["warnings"] or ():
            yield Warned(row["id"], row["source"], warning["reason"], warning["detail"])


def plan_to_json(plan: ShardPlan) -> str:
    """JSON, on its way to a task."""
    return json.dumps(asdict(plan))


def plan_from_json(text: str) -> ShardPlan:
    """The plan of such JSON."""
    found = json.loads(text)
    return ShardPlan(
        found["name"], found["split"], tuple((file, tuple(rows)) for file, rows in found["sources"])
    )

"""Encoded clips become shards: rows gathered from parts and former shards, sorted by length.

A shard's clips come in the order of their lengths, in row groups of which a reader reads about
4 MB: what is read together pads little, and a reader that takes row groups from all over gets a
good mix.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from vibesweep.corpus.clip_encoder import ClipEncoder
from vibesweep.corpus.preprocess.parts import is_part, read_part
from vibesweep.corpus.preprocess.plan import ClipEntry, ShardPlan
from vibesweep.corpus.rejects import RecordingWarning
from vibesweep.corpus.shards.counting import counts_of
from vibesweep.corpus.shards.schema import row_schema, write_parquet
from vibesweep.corpus.shards.statistics import Moments
from vibesweep.storage import StoragePath
from vibesweep.storage.parquet import open_parquet

ROW_GROUP_BYTES = 4_000_000
"""Bytes of the family's arrays in a row group."""

Counts = dict[str, dict[str, int]]


@dataclass(frozen=True, eq=False)
class ShardSummary:
    """What is in a shard: all that the manifest adds up.

    Attributes:
        name: of the file.
        split: of its clips.
        rows: number of clips.
        seconds: of speech.
        counts: how often what occurs, by kind: ``speakers``, ``languages`` and the family's own.
        warnings: what is odd about its recordings.
        moments: of the family's numbers; of training clips only.
    """

    name: str
    split: str
    rows: int
    seconds: float
    counts: Counts
    warnings: list[RecordingWarning]
    moments: dict[str, Moments] = field(default_factory=dict)


def entries_of(place: StoragePath, wanted: Container[str]) -> Iterator[ClipEntry]:
    """Yield the clips of a part or a shard whose recordings' fingerprints are wanted.

    The family's arrays are not read, nor its lists of phonemes: the driver does this alone.
    """
    columns = ["id", "recording", "source", "fingerprint", "samples_hash", "patches", "turns"]
    if is_part(place):
        table = read_part(place).select(columns)
    else:
        table = open_parquet(place).read(columns=columns)
    speakers = _speakers_of_turns(table)
    rows = table.drop_columns("turns").to_pylist()
    for number, (row, spoken_by) in enumerate(zip(rows, speakers, strict=True)):
        fingerprint = row.pop("fingerprint")
        if fingerprint not in wanted:
            continue
        people = dict.fromkeys(spoken_by)
        yield ClipEntry(
            **row,
            people=tuple(people),
            file=str(place),
            row=number,
        )


def write_shard(plan: ShardPlan, folder: StoragePath, encoder: ClipEncoder) -> ShardSummary:
    """Gather a shard's rows, and write them by length, a row group at a time."""
    schema = row_schema(encoder.columns)
    tables, rows = _gathered(plan, schema)
    patches = sum(row.patches for row in rows)
    total_bytes = patches * encoder.bytes_per_patch
    rows_per_group = round(ROW_GROUP_BYTES * len(rows) / total_bytes)
    groups = _row_groups(tables, rows, max(1, rows_per_group), schema, plan.split)
    tally = _Tally(plan, encoder)
    counted = tally.counting(groups)
    write_parquet(counted, schema, folder / plan.name, encoder.columns.repeated)
    return tally.summary()


class _Row(NamedTuple):
    """A row of one of several tables; rows sort by the length of their clips."""

    duration_s: float
    id: str
    patches: int
    table: int
    row: int


def _gathered(plan: ShardPlan, schema: pa.Schema) -> tuple[list[pa.Table], list[_Row]]:
    """Open the tables that hold a plan's rows, and list the rows by length.

    Parts are mapped into memory and not read yet; of shards the wanted rows are read.
    """
    tables: list[pa.Table] = []
    rows: list[_Row] = []
    for number, (file, numbers) in enumerate(plan.sources):
        place = StoragePath.of(file)
        if is_part(place):
            table, chosen = read_part(place), numbers
        else:
            table = _rows_of_shard(place, numbers, schema)
            chosen = tuple(range(len(numbers)))
        ids = table["id"].to_pylist()
        patches = table["patches"].to_pylist()
        durations = table["duration_s"].to_pylist()
        for row in chosen:
            rows.append(_Row(durations[row], ids[row], patches[row], number, row))
        tables.append(table)
    return tables, sorted(rows)


def _rows_of_shard(place: StoragePath, numbers: Sequence[int], schema: pa.Schema) -> pa.Table:
    """Read rows of a shard by number, with one row group in memory at a time."""
    file = open_parquet(place)
    wanted = np.asarray(numbers)
    taken = []
    first = 0
    for group in range(file.num_row_groups):
        group_rows = file.metadata.row_group(group).num_rows
        positions = wanted - first
        inside = positions[(positions >= 0) & (positions < group_rows)]
        if len(inside):
            table = file.read_row_group(group, columns=schema.names)
            taken.append(table.take(pa.array(inside)))
        first += group_rows
    rows = pa.concat_tables(taken)
    return rows.combine_chunks()


def _row_groups(
    tables: Sequence[pa.Table],
    rows: Sequence[_Row],
    rows_per_group: int,
    schema: pa.Schema,
    split: str,
) -> Iterator[pa.Table]:
    column = schema.get_field_index("split")
    for first in range(0, len(rows), rows_per_group):
        past = first + rows_per_group
        group = _taken(tables, rows[first:past], schema)
        splits = pa.array([split] * len(group), pa.string())
        yield group.set_column(column, "split", splits)


def _taken(tables: Sequence[pa.Table], rows: Sequence[_Row], schema: pa.Schema) -> pa.Table:
    """Take these rows in this order.

    Each table is one chunk: of a table of many, take() would first make one piece of all.
    """
    numbers: dict[int, list[int]] = {}
    positions: dict[int, list[int]] = {}
    for position, row in enumerate(rows):
        numbers.setdefault(row.table, []).append(row.row)
        positions.setdefault(row.table, []).append(position)
    taken = []
    for table, wanted in numbers.items():
        found = tables[table].take(pa.array(wanted))
        taken.append(found.cast(schema))
    gathered = pa.concat_tables(taken).combine_chunks()
    where = np.concatenate(list(positions.values()))
    order = np.argsort(where)
    return gathered.take(pa.array(order))


class _Tally:
    """Adds up what is in a shard while it is written."""

    def __init__(self, plan: ShardPlan, encoder: ClipEncoder) -> None:
        self._plan = plan
        self._encoder = encoder
        self._rows = 0
        self._seconds = 0.0
        self._counts: dict[str, Counter[str]] = {}
        self._warnings: list[RecordingWarning] = []
        self._moments: dict[str, Moments] = {}

    def counting(self, groups: Iterable[pa.Table]) -> Iterator[pa.Table]:
        """Count row groups and hand them on."""
        for group in groups:
            self._count(group)
            if self._plan.split == "train":
                self._measure(group)
            yield group

    def summary(self) -> ShardSummary:
        """Tell what was counted."""
        return ShardSummary(
            name=self._plan.name,
            split=self._plan.split,
            rows=self._rows,
            seconds=self._seconds,
            counts={kind: dict(counts) for kind, counts in self._counts.items()},
            warnings=self._warnings,
            moments=self._moments,
        )

    def _count(self, group: pa.Table) -> None:
        seconds = pc.sum(group["duration_s"])
        self._rows += len(group)
        self._seconds += seconds.as_py()
        self._warnings += _warnings(group)
        self._add_counts({"speakers": _clips_by_speaker(group)})
        self._add_counts({"languages": _languages(group)})
        self._add_counts(self._encoder.count(group))

    def _measure(self, group: pa.Table) -> None:
        for name, moments in self._encoder.measure(group).items():
            if name in self._moments:
                moments = self._moments[name] + moments
            self._moments[name] = moments

    def _add_counts(self, counts: Mapping[str, Mapping[str, int]]) -> None:
        for kind, found in counts.items():
            total = self._counts.setdefault(kind, Counter())
            total.update(found)


def _languages(rows: pa.Table) -> dict[str, int]:
    turns = pc.list_flatten(rows["turns"])
    return counts_of(pc.struct_field(turns, "language"))


def _clips_by_speaker(rows: pa.Table) -> Counter[str]:
    people: Counter[str] = Counter()
    for speakers in _speakers_of_turns(rows):
        people.update(set(speakers))
    return people


def _speakers_of_turns(rows: pa.Table) -> list[list[str]]:
    """Return the speaker of each turn of each row, without looking at what is said."""
    turns = rows["turns"].combine_chunks()
    speakers = pc.struct_field(turns.values, "speaker")
    by_row = pa.ListArray.from_arrays(turns.offsets, speakers)
    found: list[list[str]] = by_row.to_pylist()
    return found


def _warnings(rows: pa.Table) -> Iterator[RecordingWarning]:
    for row in rows.select(["id", "source", "warnings"]).to_pylist():
        for warning in row["warnings"] or ():
            yield RecordingWarning(row["id"], row["source"], warning["reason"], warning["detail"])

"""Encoded clips become shards: rows gathered from parts and former shards, sorted by length, with their statistics.

A shard's clips come in the order of their lengths, in row groups of about 4 MB: what is read together pads little, and a reader that
takes row groups from all over gets a good mix.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from vibesweep.config import MelSettings
from vibesweep.corpus.audio import FRAMES_PER_PATCH
from vibesweep.corpus.parquet import ROW_SCHEMA, mels_of, open_parquet, write_parquet
from vibesweep.corpus.plan import ClipEntry, ShardPlan
from vibesweep.corpus.rejects import Warned
from vibesweep.corpus.statistics import Moments
from vibesweep.storage import Place

ROW_GROUP_BYTES = 4_000_000
COUNTED = ("speakers", "languages", "symbols", "unknown_characters")
"""Clips in which a person speaks, turns in a language, phoneme symbols, characters that no language here can say."""


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
    """

    name: str
    split: str
    rows: int
    frames: int
    counts: dict[str, dict[str, int]]
    warnings: list[Warned]
    mel: Moments
    patches: Moments

    def to_row(self) -> dict[str, Any]:
        """A row of a Ray dataset."""
        small = {name: getattr(self, name) for name in ("name", "split", "rows", "frames", "counts")}
        moments = {f"{name}.{key}": value for name in ("mel", "patches") for key, value in vars(getattr(self, name)).items()}
        return {"summary": json.dumps(small | {"warnings": [asdict(warned) for warned in self.warnings]}), **moments}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ShardSummary:
        """The summary of such a row."""
        found = json.loads(row["summary"])
        mel, patches = (Moments(*(row[f"{name}.{key}"] for key in ("count", "mean", "products"))) for name in ("mel", "patches"))
        return cls(**{**found, "warnings": [Warned(**warned) for warned in found["warnings"]]}, mel=mel, patches=patches)


def entries_of(place: Place, wanted: Container[str]) -> Iterator[ClipEntry]:
    """The clips of a part or a shard whose recordings are wanted, by fingerprint; their mels are not read."""
    columns = ["id", "recording", "source", "fingerprint", "samples_hash", "frames", "turns.list.element.speaker"]
    for number, row in enumerate(open_parquet(place).read(columns=columns).to_pylist()):
        if row.pop("fingerprint") in wanted:
            people = tuple(dict.fromkeys(turn["speaker"] for turn in row.pop("turns")))
            yield ClipEntry(**row, people=people, file=str(place), row=number)


def write_shard(plan: ShardPlan, folder: Place, mel: MelSettings) -> ShardSummary:
    """Gather a shard's rows, sort them by length and write them."""
    rows = pa.concat_tables([_take(Place.of(file), numbers) for file, numbers in plan.sources])
    rows = rows.sort_by([("frames", "ascending"), ("id", "ascending")])
    rows = rows.set_column(rows.schema.get_field_index("split"), "split", pa.array([plan.split] * len(rows), pa.string()))
    summary = _summary(plan, rows, mel)
    groups = max(1, round(summary.frames * mel.n_mels * 2 / ROW_GROUP_BYTES))
    write_parquet(rows, folder / plan.name, row_groups=groups, compression="zstd")
    return summary


def _take(place: Place, numbers: Sequence[int]) -> pa.Table:
    """Rows of a file by number, in memory a row group at a time."""
    file = open_parquet(place)
    wanted = np.asarray(numbers)
    taken, first = [], 0
    for group in range(file.num_row_groups):
        past = first + file.metadata.row_group(group).num_rows
        inside = wanted[(wanted >= first) & (wanted < past)] - first
        if len(inside):
            taken.append(file.read_row_group(group, columns=ROW_SCHEMA.names).take(pa.array(inside)))
        first = past
    return pa.concat_tables(taken).replace_schema_metadata(None).cast(ROW_SCHEMA)


def _summary(plan: ShardPlan, rows: pa.Table, mel: MelSettings) -> ShardSummary:
    bins, patches = Moments.none(mel.n_mels), Moments.none(mel.n_mels * FRAMES_PER_PATCH, pairs=True)
    for clips in _groups(rows):
        bins += Moments.of(np.concatenate(clips))
        if plan.split == "train":
            patches += Moments.of(np.concatenate([_patches(clip) for clip in clips]), pairs=True)
    turns = pc.list_flatten(rows["turns"])
    return ShardSummary(
        name=plan.name,
        split=plan.split,
        rows=len(rows),
        frames=bins.count,
        counts={
            "speakers": _clips_by_speaker(rows),
            "languages": _counts(pc.struct_field(turns, "language")),
            "symbols": _counts(pc.list_flatten(pc.struct_field(turns, "phonemes"))),
            "unknown_characters": _sums(rows["unknown_characters"]),
        },
        warnings=list(_warnings(rows)),
        mel=bins,
        patches=patches,
    )


def _groups(rows: pa.Table) -> Iterator[list[npt.NDArray[np.float16]]]:
    """The clips' mels, so many at a time that their statistics in double precision take some ten MB."""
    group: list[npt.NDArray[np.float16]] = []
    for batch in rows.select(["frames", "mel"]).to_batches():
        for clip in mels_of(batch):
            group.append(clip)
            if sum(mel.nbytes for mel in group) > ROW_GROUP_BYTES:
                yield group
                group = []
    if group:
        yield group


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
    return ShardPlan(found["name"], found["split"], tuple((file, tuple(rows)) for file, rows in found["sources"]))

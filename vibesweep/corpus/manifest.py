"""What a folder of shards holds, and how it is read. Neither ray nor torch is needed here.

A folder of shards has ``train-00000.parquet``, ..., ``val-00000.parquet``, ..., ``rejects.parquet`` and, written last,
``manifest.json``: without it the folder is not whole.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vibesweep.config import MelSettings
from vibesweep.errors import ShardsError

SCHEMA_VERSION = 1
MANIFEST_FILE = "manifest.json"
REJECTS_FILE = "rejects.parquet"
SPLITS = ("train", "val")

TURN_TYPE = pa.struct(
    [
        ("tag", pa.string()),
        ("speaker", pa.string()),
        ("language", pa.string()),
        ("text", pa.string()),
        ("phonemes", pa.list_(pa.string())),
        ("start_s", pa.float64()),
        ("end_s", pa.float64()),
        ("timed", pa.bool_()),
    ]
)
ROW_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("split", pa.string()),
        ("duration_s", pa.float64()),
        ("frames", pa.int32()),
        ("mel", pa.list_(pa.float16())),  # frames x n_mels, row after row
        ("turns", pa.list_(TURN_TYPE)),
    ]
)
REJECTS_SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "path", "reason", "detail")])


@dataclass(frozen=True)
class ShardTurn:
    """A turn with its phonemes. ``timed`` says whether the times were given or shared out by phonemes."""

    tag: str
    speaker: str
    language: str
    text: str
    phonemes: tuple[str, ...]
    start_s: float
    end_s: float
    timed: bool


@dataclass(frozen=True)
class ShardRow:
    """A clip. ``mel`` is [frames, n_mels] in half precision, a view of the shard's memory that cannot be written to."""

    id: str
    split: str
    duration_s: float
    mel: npt.NDArray[np.float16]
    turns: tuple[ShardTurn, ...]


@dataclass(frozen=True)
class ShardFile:
    """One Parquet file."""

    name: str
    split: str
    rows: int


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds.

    Attributes:
        signature: of the input, the settings and the schema; an equal one means that there is nothing to do.
        mel: the settings of the log-mels.
        mel_mean: of each mel bin over all training frames.
        mel_std: of each mel bin over all training frames.
        clips: by split.
        hours: by split.
        speakers: clips in which each person speaks.
        symbols: how often each phoneme symbol occurs, in both splits.
        rejects: recordings left out, by reason.
        unknown_characters: characters that no language here can say, by name.
        shards: the Parquet files, training first.
        schema_version: of the rows and of this file.
    """

    signature: str
    mel: MelSettings
    mel_mean: tuple[float, ...]
    mel_std: tuple[float, ...]
    clips: Mapping[str, int]
    hours: Mapping[str, float]
    speakers: Mapping[str, int]
    symbols: Mapping[str, int]
    rejects: Mapping[str, int]
    unknown_characters: Mapping[str, int]
    shards: tuple[ShardFile, ...]
    schema_version: int = field(default=SCHEMA_VERSION)


def read_manifest(out: Path) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        ShardsError: it is missing, broken, or was written for another schema.
    """
    path = out / MANIFEST_FILE
    if not path.is_file():
        raise ShardsError(f"no {MANIFEST_FILE}", where=str(out), fix="make the shards with `vibesweep preprocess`")
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version = found["schema_version"]
        if version == SCHEMA_VERSION:
            return _from_json(found)
    except (ValueError, TypeError, KeyError) as error:
        raise ShardsError(f"it cannot be read ({error!r})", where=str(path), fix="make the shards anew") from error
    raise ShardsError(f"schema version {version}, not {SCHEMA_VERSION}", where=str(path), fix="make the shards anew")


def write_manifest(out: Path, manifest: Manifest) -> None:
    """Write ``manifest.json`` in one move, so that no reader sees half of it."""
    draft = out / f".{MANIFEST_FILE}.draft"
    draft.write_text(json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(draft, out / MANIFEST_FILE)


def read_table(shards: Path, split: str | None = None, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of one split, or of all, as one table of :data:`ROW_SCHEMA`'s columns, in the manifest's order."""
    tables = [pq.read_table(shards / name, columns=columns, memory_map=True) for name in _files(shards, split)]
    if tables:
        return pa.concat_tables(tables)
    return ROW_SCHEMA.empty_table().select(list(columns) if columns else ROW_SCHEMA.names)


def read_rows(shards: Path, split: str | None = None) -> Iterator[ShardRow]:
    """The clips of one split, or of all, shard after shard in the manifest's order."""
    for name in _files(shards, split):
        for batch in pq.read_table(shards / name, memory_map=True).to_batches():
            yield from _rows(batch)


def _files(shards: Path, split: str | None) -> list[str]:
    assert split in (None, *SPLITS), split
    return [shard.name for shard in read_manifest(shards).shards if split in (None, shard.split)]


def _rows(batch: pa.RecordBatch) -> Iterator[ShardRow]:
    mels = batch.column("mel")
    values = mels.values.to_numpy(zero_copy_only=True)
    offsets = mels.offsets.to_numpy()
    small = batch.drop_columns(["mel"]).to_pylist()
    for row, first, last in zip(small, offsets[:-1], offsets[1:], strict=True):
        turns = tuple(ShardTurn(**{**turn, "phonemes": tuple(turn["phonemes"])}) for turn in row["turns"])
        yield ShardRow(row["id"], row["split"], row["duration_s"], values[first:last].reshape(row["frames"], -1), turns)


def _from_json(found: Mapping[str, Any]) -> Manifest:
    changed = {
        "mel": MelSettings(**found["mel"]),
        "mel_mean": tuple(found["mel_mean"]),
        "mel_std": tuple(found["mel_std"]),
        "shards": tuple(ShardFile(**shard) for shard in found["shards"]),
    }
    return Manifest(**{**found, **changed})

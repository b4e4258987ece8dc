"""What a folder of shards holds, and how it is read. Neither ray nor torch is needed here.

A folder of shards has Parquet files, ``rejects.parquet``, ``warnings.parquet``, a family's own file
where it wants one and, written last, ``manifest.json``. The manifest names the files: what it does
not name is none of the shards, and without it there are none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from vibesweep.config.checks import check_types
from vibesweep.corpus.shards.schema import (
    Clip,
    Columns,
    clips_of,
    row_schema,
    training_columns,
)
from vibesweep.errors import ShardsError, SpaceError
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.storage.json_text import parse_json
from vibesweep.storage.names import is_plain_name
from vibesweep.storage.parquet import open_parquet

SCHEMA_VERSION = 5
MANIFEST_FILE = "manifest.json"
REJECTS_FILE = "rejects.parquet"
WARNINGS_FILE = "warnings.parquet"
SPLITS = ("train", "val")


@dataclass(frozen=True)
class ShardFile:
    """One Parquet file: its name, its split, its number of rows, and how much speech it holds."""

    name: str
    split: str
    rows: int
    seconds: float


@dataclass(frozen=True)
class EncoderRecord:
    """Which encoder made a family's columns, and what is known of them.

    Attributes:
        family: the model family.
        name: of the encoder, as a user would name it.
        fingerprint: hash of all that the columns depend on.
        summary: the settings in a few words.
        settings: what a reader must know about the columns.
        picture: the array column to draw a clip by, and its number of values at a moment.
        counts: how often what occurs in both splits, by kind and name.
        moments: ``mean`` and ``std`` of numbers in the training split, by name.
        sidecar: name of the family's own file beside the shards, if it has one.
    """

    family: str
    name: str
    fingerprint: str
    summary: str
    settings: Mapping[str, Any]
    picture: tuple[str, int]
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    moments: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    sidecar: str | None = None


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds.

    Attributes:
        signature: hash of the input, the settings and the schema; an equal one means that there is
            nothing to do.
        clips: number of clips by split.
        hours: hours of speech by split.
        speakers: number of clips in which each person speaks.
        languages: number of turns in each language.
        rejects: number of recordings left out, by reason.
        warnings: number of recordings with something odd, by reason.
        shards: the Parquet files, training first.
        encoder: what made the model family's columns.
        schema_version: of the rows and of this file.
    """

    signature: str
    clips: Mapping[str, int]
    hours: Mapping[str, float]
    speakers: Mapping[str, int]
    languages: Mapping[str, int]
    rejects: Mapping[str, int]
    warnings: Mapping[str, int]
    shards: tuple[ShardFile, ...]
    encoder: EncoderRecord
    schema_version: int = field(default=SCHEMA_VERSION)


def read_manifest(folder: StorageAddress) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        ShardsError: it is missing, broken, or was written for another schema.
        StorageError: the store cannot be reached.
    """
    path = StoragePath.of(folder) / MANIFEST_FILE
    if not path.is_file():
        fix = "make the shards with `vibesweep preprocess`"
        raise ShardsError(f"no {MANIFEST_FILE}", where=str(path.parent), fix=fix)
    try:
        content = path.read_bytes()
        found = parse_json(content)
        version = found["schema_version"]
        if version == SCHEMA_VERSION:
            return _from_json(found)
    except (ValueError, TypeError, KeyError, AttributeError, SpaceError) as error:
        fix = "make the shards anew"
        raise ShardsError(f"it cannot be read ({error!r})", where=str(path), fix=fix) from error
    wrong = f"schema version {version}, not {SCHEMA_VERSION}"
    raise ShardsError(wrong, where=str(path), fix="make the shards anew")


def check_signature(folder: StorageAddress, signature: str) -> None:
    """Refuse shards that have been made anew since they had this signature.

    Raises:
        ShardsError: they have another one, or cannot be read.
        StorageError: the store cannot be reached.
    """
    found = read_manifest(folder).signature
    if found == signature:
        return
    fix = "preprocess the corpus as it was, or run the sweep again"
    raise ShardsError("the shards have changed since the sweep began", where=str(folder), fix=fix)


def write_manifest(folder: StorageAddress, manifest: Manifest) -> None:
    """Write ``manifest.json`` in one move, so that no reader sees half of it."""
    path = StoragePath.of(folder) / MANIFEST_FILE
    text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False)
    path.write_bytes(f"{text}\n".encode())


def read_sidecar(folder: StorageAddress) -> bytes:
    """Read the family's own file beside the shards.

    Raises:
        ShardsError: the shards have none.
    """
    place = StoragePath.of(folder)
    encoder = read_manifest(place).encoder
    if encoder.sidecar is None:
        fix = "make them with `vibesweep preprocess --model`"
        found = f"they were made for the family {encoder.family}, which keeps no file beside them"
        raise ShardsError(found, where=str(place), fix=fix)
    return (place / encoder.sidecar).read_bytes()


def read_table(
    folder: StorageAddress, split: str | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """Read the rows of one split, or of all, as one table in the manifest's order.

    Args:
        folder: of the shards.
        split: ``train`` or ``val``; None for both.
        columns: Parquet's names of the columns to read; None for all.
    """
    places = _files(folder, split)
    tables = [open_parquet(place).read(columns=columns) for place in places]
    if tables:
        return pa.concat_tables(tables)
    empty = row_schema(Columns()).empty_table()
    return empty if columns is None else empty.select(_top_level(columns))


def read_clips(folder: StorageAddress, split: str | None = None) -> Iterator[Clip]:
    """Yield the clips of one split, or of all, with one row group in memory at a time."""
    for place in _files(folder, split):
        file = open_parquet(place)
        columns = training_columns(file)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=columns)
            for batch in table.to_batches():
                yield from clips_of(batch)


def _files(folder: StorageAddress, split: str | None) -> list[StoragePath]:
    assert split in (None, *SPLITS), split
    place = StoragePath.of(folder)
    shards = read_manifest(place).shards
    if split is not None:
        shards = tuple(shard for shard in shards if shard.split == split)
    return [place / shard.name for shard in shards]


def _top_level(columns: Sequence[str]) -> list[str]:
    """Name the columns that Parquet's names, such as ``turns.list.element.text``, are part of."""
    names = [name.partition(".")[0] for name in columns]
    return list(dict.fromkeys(names))


def _from_json(found: dict[str, Any]) -> Manifest:
    shards = [ShardFile(**shard) for shard in found["shards"]]
    for shard in shards:
        _check_name(shard.name)
    sidecar = found["encoder"].get("sidecar")
    if sidecar is not None:
        _check_name(sidecar)
    name, width = found["encoder"]["picture"]
    encoder = found["encoder"] | {"picture": (name, width)}
    objects = {"shards": tuple(shards), "encoder": EncoderRecord(**encoder)}
    manifest = Manifest(**(found | objects))
    for part in (manifest, manifest.encoder, *manifest.shards):
        check_types(part)
    return manifest


def _check_name(file_name: object) -> None:
    parts = str(file_name).split("/")
    is_inside = all(is_plain_name(part) for part in parts)
    if not is_inside:
        raise ValueError(f"it names a file outside of its folder: {file_name}")

"""What a folder of shards holds, and how it is read. Neither ray nor torch is needed here.

A folder of shards has its Parquet files, ``rejects.parquet``, ``warnings.parquet``, files of statistics and silence and, written last,
``manifest.json``. The manifest
names the files: what it does not name is none of the shards, and without it there are none.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from vibesweep.config import MelSettings
from vibesweep.corpus.shards.features import Features
from vibesweep.corpus.shards.schema import (
    ROW_SCHEMA,
    SHARD_ROW_COLUMNS,
    Clip,
    open_parquet,
    shard_rows,
)
from vibesweep.corpus.shards.statistics import Moments
from vibesweep.errors import ShardsError
from vibesweep.storage import StorageAddress, StoragePath

SCHEMA_VERSION = 3
MANIFEST_FILE = "manifest.json"
REJECTS_FILE = "rejects.parquet"
WARNINGS_FILE = "warnings.parquet"
SPLITS = ("train", "val")


@dataclass(frozen=True)
class ShardFile:
    """One Parquet file."""

    name: str
    split: str
    rows: int
    frames: int


@dataclass(frozen=True)
class FeatureRecord:
    """What made the columns ``acoustic`` and ``semantic``, and what is known of them.

    Attributes:
        model: the name of the model whose encoders made them.
        fingerprint: of all that they depend on.
        latent_size: of an acoustic latent.
        semantic_size: of a semantic one.
        hop_samples: samples a latent.
        mean: of all values of all acoustic latents of the training split.
        std: likewise.
        silence: the file with the features of a silence, as a clip that begins with it has them.
    """

    model: str
    fingerprint: str
    latent_size: int
    semantic_size: int
    hop_samples: int
    mean: float
    std: float
    silence: str


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards holds.

    Attributes:
        signature: of the input, the settings and the schema; an equal one means that there is nothing to do.
        mel: the settings of the log-mels.
        language: the eSpeak NG voice that read the texts.
        mel_mean: of each mel bin over all training frames.
        mel_std: of each mel bin over all training frames.
        patch_statistics: the file with mean and covariance of the training split's patches, from which a base's PCA is made.
        clips: by split.
        hours: by split.
        speakers: clips in which each person speaks.
        languages: turns in each language.
        symbols: how often each phoneme symbol occurs, in both splits.
        rejects: recordings left out, by reason.
        warnings: recordings told of, by reason.
        unknown_characters: characters that no language here can say, by name.
        shards: the Parquet files, training first.
        features: what a checkpoint's encoders added; ``None`` where none was asked.
        schema_version: of the rows and of this file.
    """

    signature: str
    mel: MelSettings
    language: str
    mel_mean: tuple[float, ...]
    mel_std: tuple[float, ...]
    patch_statistics: str
    clips: Mapping[str, int]
    hours: Mapping[str, float]
    speakers: Mapping[str, int]
    languages: Mapping[str, int]
    symbols: Mapping[str, int]
    rejects: Mapping[str, int]
    warnings: Mapping[str, int]
    unknown_characters: Mapping[str, int]
    shards: tuple[ShardFile, ...]
    features: FeatureRecord | None = None
    schema_version: int = field(default=SCHEMA_VERSION)


def read_manifest(folder: StorageAddress) -> Manifest:
    """Read ``manifest.json``.

    Raises:
        ShardsError: it is missing, broken, or was written for another schema.
        StorageError: the store cannot be reached.
    """
    path = StoragePath.of(folder) / MANIFEST_FILE
    if not path.is_file():
        raise ShardsError(
            f"no {MANIFEST_FILE}",
            where=str(path.parent),
            fix="make the shards with `vibesweep preprocess`",
        )
    try:
        found = json.loads(path.read_bytes())
        version = found["schema_version"]
        if version == SCHEMA_VERSION:
            return _from_json(found)
    except (ValueError, TypeError, KeyError) as error:
        raise ShardsError(
            f"it cannot be read ({error!r})", where=str(path), fix="make the shards anew"
        ) from error
    raise ShardsError(
        f"schema version {version}, not {SCHEMA_VERSION}",
        where=str(path),
        fix="make the shards anew",
    )


def write_manifest(folder: StorageAddress, manifest: Manifest) -> None:
    """Write ``manifest.json`` in one move, so that no reader sees half of it."""
    text = json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n"
    (StoragePath.of(folder) / MANIFEST_FILE).write_bytes(text.encode())


def read_patch_statistics(folder: StorageAddress) -> Moments:
    """The moments of pairs of the training split's patches, to which a base's PCA is fitted."""
    place = StoragePath.of(folder)
    return Moments.from_bytes((place / read_manifest(place).patch_statistics).read_bytes())


def read_silence(folder: StorageAddress) -> Features:
    """The features of some silence at the beginning of a clip.

    Raises:
        ShardsError: the shards hold no features.
    """
    place = StoragePath.of(folder)
    features = read_manifest(place).features
    if features is None:
        raise ShardsError(
            "they hold no features",
            where=str(place),
            fix="make them with `vibesweep preprocess --model`",
        )
    return Features.from_bytes((place / features.silence).read_bytes())


def read_table(
    folder: StorageAddress, split: str | None = None, columns: Sequence[str] | None = None
) -> pa.Table:
    """The rows of one split, or of all, as one table of :data:`ROW_SCHEMA`'s columns, in the manifest's order."""
    tables = [open_parquet(place).read(columns=columns) for place in _files(folder, split)]
    if tables:
        return pa.concat_tables(tables)
    return ROW_SCHEMA.empty_table().select(list(columns) if columns else ROW_SCHEMA.names)


def read_rows(
    folder: StorageAddress, split: str | None = None, columns: Sequence[str] = SHARD_ROW_COLUMNS
) -> Iterator[Clip]:
    """The clips of one split, or of all, shard after shard in the manifest's order, a row group in memory at a time."""
    for place in _files(folder, split):
        file = open_parquet(place)
        for group in range(file.num_row_groups):
            for batch in file.read_row_group(group, columns=list(columns)).to_batches():
                yield from shard_rows(batch)


def _files(folder: StorageAddress, split: str | None) -> list[StoragePath]:
    assert split in (None, *SPLITS), split
    place = StoragePath.of(folder)
    return [
        place / shard.name for shard in read_manifest(place).shards if split in (None, shard.split)
    ]


def _from_json(found: Mapping[str, Any]) -> Manifest:
    changed = {
        "mel": MelSettings(**found["mel"]),
        "mel_mean": tuple(found["mel_mean"]),
        "mel_std": tuple(found["mel_std"]),
        "shards": tuple(ShardFile(**shard) for shard in found["shards"]),
        "features": FeatureRecord(**found["features"]) if found["features"] else None,
    }
    return Manifest(**{**found, **changed})

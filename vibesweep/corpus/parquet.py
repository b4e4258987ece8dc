"""The rows of parts and shards: their columns, and how they are written to Parquet files and read. Neither ray nor torch is needed.

Shapes: ``T`` frames, ``M`` mel bins.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vibesweep.storage import Place

MEL_TYPE = pa.large_binary()  # frames x n_mels half-precision numbers, row after row, little-endian
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
        ("mel", MEL_TYPE),
        ("turns", pa.list_(TURN_TYPE)),
        ("voice_prompts", pa.list_(pa.struct([("speaker", pa.string()), ("mel", MEL_TYPE)]))),
        ("recording", pa.string()),  # that the clip was cut from; its id where it is whole
        ("source", pa.string()),  # the audio file
        ("fingerprint", pa.string()),
        ("samples_hash", pa.string()),
        ("level_dbfs", pa.float32()),  # RMS before it was brought to the level of the mel settings
        ("unknown_characters", pa.map_(pa.string(), pa.int32())),
        ("warnings", pa.list_(pa.struct([("reason", pa.string()), ("detail", pa.string())]))),
        ("extra", pa.map_(pa.string(), pa.string())),  # further columns of the corpus's table
    ]
)
# Parquet's names of the columns that say the same few things again and again
_LABELS = ["split", "recording", "source", *(f"turns.list.element.{name}" for name in ("tag", "speaker", "language"))]
_LABELS += ["turns.list.element.phonemes.list.element", "extra.key_value.key", "extra.key_value.value"]
FINDING_SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "path", "reason", "detail")])
REJECTS_SCHEMA = FINDING_SCHEMA.append(pa.field("fingerprint", pa.string()))
SHARD_ROW_COLUMNS = ("id", "split", "duration_s", "frames", "mel", "turns", "voice_prompts")
"""What a :class:`ShardRow` is read from."""


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
    """A clip as models read it.

    Attributes:
        id: unique in the shards.
        split: ``train`` or ``val``.
        duration_s: of the mel.
        mel: [frames, n_mels] in half precision, a view of the shard's memory that cannot be written to.
        turns: what is said.
        voice_prompts: (person, mel [frames, n_mels]) pairs that the corpus's table named.
    """

    id: str
    split: str
    duration_s: float
    mel: npt.NDArray[np.float16]
    turns: tuple[ShardTurn, ...]
    voice_prompts: tuple[tuple[str, npt.NDArray[np.float16]], ...] = ()


def write_parquet(groups: Iterable[pa.Table], schema: pa.Schema, place: Place, *, compression: str = "none") -> None:
    """Write row groups of :data:`ROW_SCHEMA`, one after the other; the file is whole or not there.

    Mels are bytes to Parquet. As lists of numbers they took seven times as long to write and five times to read (docs/design/corpus.md).
    """
    options = {"compression": compression, "compression_level": 1 if compression == "zstd" else None, "use_dictionary": _LABELS}
    with place.writing() as stream, pq.ParquetWriter(stream, schema, write_statistics=False, **options) as writer:
        for group in groups:
            writer.write_table(group, row_group_size=max(1, len(group)))


def open_parquet(place: Place) -> pq.ParquetFile:
    """A Parquet file for reading, mapped into memory where it is local."""
    if place.local is not None:
        return pq.ParquetFile(place.local, memory_map=True)
    return pq.ParquetFile(place.filesystem.open_input_file(place.path), pre_buffer=True)


def shard_rows(batch: pa.RecordBatch) -> Iterator[ShardRow]:
    """The clips of a batch that has all columns of :class:`ShardRow`."""
    small = batch.drop_columns(["mel", "voice_prompts"]).to_pylist()
    for row, mel, prompts in zip(small, mels_of(batch), _prompts_of(batch), strict=True):
        turns = tuple(ShardTurn(**{**turn, "phonemes": tuple(turn["phonemes"])}) for turn in row["turns"])
        shaped = tuple((person, prompt.reshape(-1, mel.shape[1])) for person, prompt in prompts)
        yield ShardRow(row["id"], row["split"], row["duration_s"], mel, turns, shaped)


def mels_of(batch: pa.RecordBatch) -> Iterator[npt.NDArray[np.float16]]:
    """The mels [frames, n_mels] of a batch, as views of its memory."""
    for frames, values in zip(batch.column("frames").to_pylist(), _arrays(batch.column("mel")), strict=True):
        yield values.reshape(frames, -1)


def _prompts_of(batch: pa.RecordBatch) -> Iterator[list[tuple[str, npt.NDArray[np.float16]]]]:
    column = batch.column("voice_prompts")
    people, mels = column.values.field("speaker").to_pylist(), list(_arrays(column.values.field("mel")))
    offsets = column.offsets.to_numpy()
    for first, last in pairwise(offsets):
        yield list(zip(people[first:last], mels[first:last], strict=True))


def _arrays(column: pa.LargeBinaryArray) -> Iterator[npt.NDArray[np.float16]]:
    """The numbers of each mel, as views of the column's memory."""
    for mel in column:
        yield np.frombuffer(mel.as_buffer(), np.dtype("<f2"))

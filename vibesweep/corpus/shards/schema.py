"""The rows of parts and shards: their columns, and how they are written to Parquet files and read. Neither ray nor torch is needed.

Shapes: ``T`` frames, ``M`` mel bins, ``L`` latents, ``D`` acoustic and ``E`` semantic size.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, repeat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from vibesweep.corpus.shards.features import Half
from vibesweep.storage import StoragePath

HALF_TYPE = pa.large_binary()  # half-precision numbers, row after row, little-endian
PROMPT_TYPE = pa.struct([("speaker", pa.string()), ("mel", HALF_TYPE), ("acoustic", HALF_TYPE)])
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
        ("mel", HALF_TYPE),  # frames x n_mels
        (
            "latents",
            pa.int32(),
        ),  # this and the three below are null where no checkpoint's encoders were asked
        ("tokens", pa.int32()),  # ids before the speech, without voice prompts
        ("acoustic", HALF_TYPE),  # latents x D
        ("semantic", HALF_TYPE),  # latents x E
        ("turns", pa.list_(TURN_TYPE)),
        ("voice_prompts", pa.list_(PROMPT_TYPE)),
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
_LABELS = [
    "split",
    "recording",
    "source",
    *(f"turns.list.element.{name}" for name in ("tag", "speaker", "language")),
]
_LABELS += [
    "turns.list.element.phonemes.list.element",
    "extra.key_value.key",
    "extra.key_value.value",
]
FINDING_SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "path", "reason", "detail")])
REJECTS_SCHEMA = FINDING_SCHEMA.append(pa.field("fingerprint", pa.string()))
_ALWAYS_READ = ("id", "split", "duration_s", "turns", "voice_prompts.list.element.speaker")
SHARD_ROW_COLUMNS = (*_ALWAYS_READ, "frames", "mel", "voice_prompts.list.element.mel")
"""What a :class:`Clip` is read from by families that read mels."""
FEATURE_ROW_COLUMNS = (
    *_ALWAYS_READ,
    "latents",
    "tokens",
    "acoustic",
    "semantic",
    "voice_prompts.list.element.acoustic",
)
"""What a :class:`Clip` is read from by families that read the features of a checkpoint's encoders."""
LARGE_COLUMNS = ("mel", "acoustic", "semantic", "voice_prompts")
"""What is not kept of a row when it is counted."""


NO_MEL = np.zeros((0, 0), np.float16)


@dataclass(frozen=True)
class ClipTurn:
    """A turn with its phonemes. ``timed`` says whether the times were given or shared out by phonemes."""

    tag: str
    speaker: str
    language: str
    text: str
    phonemes: tuple[str, ...]
    start_s: float
    end_s: float
    timed: bool


@dataclass(frozen=True, eq=False)
class VoicePrompt:
    """A recording of a speaker's voice that the corpus's table named.

    Attributes:
        person: whose voice it is.
        mel: [T, M] in half precision, or ``None`` where it was not read.
        acoustic: [L, D] in half precision, or ``None`` where it was not read or is not there.
    """

    person: str
    mel: Half | None = None
    acoustic: Half | None = None


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip as models read it. Arrays are views of the shard's memory that cannot be written to.

    Attributes:
        id: unique in the shards.
        split: ``train`` or ``val``.
        duration_s: of the mel.
        mel: [T, M] in half precision; no frames where it was not read.
        turns: what is said.
        voice_prompts: that the corpus's table named.
        acoustic: [L, D] in half precision, or ``None`` where it was not read or is not there.
        semantic: [L, E], likewise.
        tokens: ids before the speech, without voice prompts; 0 where nobody counted them.
    """

    id: str
    split: str
    duration_s: float
    mel: Half
    turns: tuple[ClipTurn, ...]
    voice_prompts: tuple[VoicePrompt, ...] = ()
    acoustic: Half | None = None
    semantic: Half | None = None
    tokens: int = 0


def write_parquet(
    groups: Iterable[pa.Table], schema: pa.Schema, place: StoragePath, *, compression: str = "none"
) -> None:
    """Write row groups of :data:`ROW_SCHEMA`, one after the other; the file is whole or not there.

    Mels are bytes to Parquet. As lists of numbers they took seven times as long to write and five times to read (docs/design/corpus.md).
    """
    options = {
        "compression": compression,
        "compression_level": 1 if compression == "zstd" else None,
        "use_dictionary": _LABELS,
    }
    with (
        place.writing() as stream,
        pq.ParquetWriter(stream, schema, write_statistics=False, **options) as writer,
    ):
        for group in groups:
            writer.write_table(group, row_group_size=max(1, len(group)))


def open_parquet(place: StoragePath) -> pq.ParquetFile:
    """A Parquet file for reading, mapped into memory where it is local."""
    if place.local is not None:
        return pq.ParquetFile(place.local, memory_map=True)
    return pq.ParquetFile(place.filesystem.open_input_file(place.path), pre_buffer=True)


def shard_rows(batch: pa.RecordBatch) -> Iterator[Clip]:
    """The clips of a batch of :data:`SHARD_ROW_COLUMNS`, of :data:`FEATURE_ROW_COLUMNS` or of both."""
    small = batch.drop_columns(
        [name for name in LARGE_COLUMNS if name in batch.schema.names]
    ).to_pylist()
    mels, acoustic, semantic = (
        arrays_of(batch, "mel", "frames"),
        arrays_of(batch, "acoustic", "latents"),
        arrays_of(batch, "semantic", "latents"),
    )
    for row, mel, latents, meanings, prompts in zip(
        small, mels, acoustic, semantic, _prompts_of(batch), strict=True
    ):
        turns = tuple(
            ClipTurn(**{**turn, "phonemes": tuple(turn["phonemes"])}) for turn in row["turns"]
        )
        shaped = tuple(
            VoicePrompt(person, _like(values, mel), _like(heard, latents))
            for person, values, heard in prompts
        )
        yield Clip(
            row["id"],
            row["split"],
            row["duration_s"],
            NO_MEL if mel is None else mel,
            turns,
            shaped,
            latents,
            meanings,
            row.get("tokens") or 0,
        )


def arrays_of(batch: pa.RecordBatch, column: str, lengths: str) -> Iterator[Half | None]:
    """The arrays of a column, as views of its memory, with as many rows as another column says; ``None`` where there is none."""
    if column not in batch.schema.names:
        yield from repeat(None, len(batch))
        return
    for length, values in zip(
        batch.column(lengths).to_pylist(), _numbers(batch.column(column)), strict=True
    ):
        yield None if values is None else values.reshape(length, -1)


def _like(values: Half | None, other: Half | None) -> Half | None:
    """A prompt's numbers with as many columns as the clip's own have."""
    return None if values is None or other is None else values.reshape(-1, other.shape[1])


def _prompts_of(batch: pa.RecordBatch) -> Iterator[list[tuple[str, Half | None, Half | None]]]:
    """(person, mel, acoustic) of each clip's voice prompts; the arrays have no shape yet."""
    column = batch.column("voice_prompts")
    prompts, offsets = column.values, column.offsets.to_numpy()
    fields = [field.name for field in prompts.type]
    mels, acoustic = (
        list(_numbers(prompts.field(name))) if name in fields else [None] * len(prompts)
        for name in ("mel", "acoustic")
    )
    people = prompts.field("speaker").to_pylist()
    for first, last in pairwise(offsets):
        yield list(zip(people[first:last], mels[first:last], acoustic[first:last], strict=True))


def _numbers(column: pa.LargeBinaryArray) -> Iterator[Half | None]:
    """The numbers of each value, as views of the column's memory."""
    for value in column:
        yield np.frombuffer(value.as_buffer(), np.dtype("<f2")) if value.is_valid else None

"""The columns of a shard's rows, and how rows become clips. Neither ray nor torch is needed.

Every shard has the columns named here; a model family adds its own (:class:`Columns`) to clips, to
their turns and to their voice prompts. A family's arrays are stored as bytes of half-precision
numbers: as lists of numbers, Parquet took seven times as long to write and five times to read them
(docs/design/corpus.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from vibesweep.storage import StoragePath

Half = npt.NDArray[np.float16]

LITTLE_ENDIAN_HALF = np.dtype("<f2")
ARRAY = pa.large_binary()
"""Arrow type of an array: half-precision numbers, row after row, little-endian."""

_TURN_FIELDS = (
    pa.field("tag", pa.string()),
    pa.field("speaker", pa.string()),
    pa.field("language", pa.string()),
    pa.field("text", pa.string()),
    pa.field("start_s", pa.float64()),
    pa.field("end_s", pa.float64()),
    pa.field("timed", pa.bool_()),
)
_SPEAKER = pa.field("speaker", pa.string())
_WARNING = pa.struct([("reason", pa.string()), ("detail", pa.string())])
_CLIP_FIELDS = (
    pa.field("id", pa.string()),
    pa.field("split", pa.string()),
    pa.field("duration_s", pa.float64()),
    pa.field("patches", pa.int32()),  # latents to be spoken
    pa.field("tokens", pa.int32()),  # before the speech, voice prompts left out
    pa.field("samples_hash", pa.string()),  # equal for the same sound under two ids
)
_ORIGIN_FIELDS = (
    pa.field("recording", pa.string()),  # that the clip was cut from; its own id where it is whole
    pa.field("source", pa.string()),  # the audio file
    pa.field("fingerprint", pa.string()),
    pa.field("level_dbfs", pa.float32()),  # of the speech as it was found
    pa.field("warnings", pa.list_(_WARNING)),
    pa.field("extra", pa.map_(pa.string(), pa.string())),  # further columns of the user's table
)
_DICTIONARY_COLUMNS = (
    *("split", "recording", "source", "extra.key_value.key", "extra.key_value.value"),
    *(f"turns.list.element.{name}" for name in ("tag", "speaker", "language")),
)
"""Parquet's names of the columns that repeat a few values: these are stored as dictionaries."""

FINDING_SCHEMA = pa.schema([(name, pa.string()) for name in ("id", "path", "reason", "detail")])
REJECTS_SCHEMA = FINDING_SCHEMA.append(pa.field("fingerprint", pa.string()))
ORIGIN_COLUMNS = tuple(column.name for column in _ORIGIN_FIELDS)
"""Columns that say where a clip comes from. Training does not read them."""


@dataclass(frozen=True)
class Columns:
    """The columns that a model family adds.

    Attributes:
        clip: to a clip's row.
        turn: to each of its turns.
        prompt: to each of its voice prompts; each has the name of a clip column.
        repeated: Parquet's names of those that repeat a few values.
    """

    clip: tuple[pa.Field, ...] = ()
    turn: tuple[pa.Field, ...] = ()
    prompt: tuple[pa.Field, ...] = ()
    repeated: tuple[str, ...] = ()


def row_schema(columns: Columns) -> pa.Schema:
    """Make the schema of the rows of parts and shards with a family's columns."""
    turn = pa.struct([*_TURN_FIELDS, *columns.turn])
    prompt = pa.struct([_SPEAKER, *columns.prompt])
    fields = [
        *_CLIP_FIELDS,
        *columns.clip,
        pa.field("turns", pa.list_(turn)),
        pa.field("voice_prompts", pa.list_(prompt)),
        *_ORIGIN_FIELDS,
    ]
    return pa.schema(fields)


@dataclass(frozen=True)
class ClipTurn:
    """A turn of a clip.

    Attributes:
        tag: of the speaker in the text, such as ``SPEAKER_A``.
        speaker: the person.
        language: ``zh`` where there is a Han character, else the language asked for.
        text: what is said.
        start_s: where it begins in the clip.
        end_s: where it ends.
        timed: whether the times were given, or shared out by the lengths of the texts.
        columns: what the family's encoder read in the text.
    """

    tag: str
    speaker: str
    language: str
    text: str
    start_s: float
    end_s: float
    timed: bool
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class VoicePrompt:
    """A recording of a speaker's voice that the corpus's table named.

    Attributes:
        person: whose voice it is.
        columns: what the family's encoder made of the sound; arrays are flat.
    """

    person: str
    columns: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Clip:
    """A clip as models read it. Arrays are views of the shard's memory that cannot be written to.

    Attributes:
        id: unique in the shards.
        split: ``train`` or ``val``.
        duration_s: length of the sound.
        patches: latents to be spoken.
        tokens: tokens before the speech, voice prompts left out.
        turns: what is said.
        voice_prompts: those that the corpus's table named.
        samples_hash: equal for clips of the same samples.
        columns: what the family's encoder made of the sound; arrays are flat.
    """

    id: str
    split: str
    duration_s: float
    patches: int
    tokens: int
    turns: tuple[ClipTurn, ...]
    voice_prompts: tuple[VoicePrompt, ...] = ()
    samples_hash: str | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)

    @property
    def people(self) -> tuple[str, ...]:
        """Who speaks, in the order of their first turns."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.turns))


def write_parquet(
    groups: Iterable[pa.Table], schema: pa.Schema, place: StoragePath, repeated: tuple[str, ...]
) -> None:
    """Write row groups one after the other; the file is whole or not there.

    Args:
        groups: tables of this schema, each of which becomes a row group.
        schema: of the file.
        place: the file.
        repeated: Parquet's names of the family's columns that repeat a few values.
    """
    options = {
        "compression": "zstd",
        "compression_level": 1,
        "use_dictionary": [*_DICTIONARY_COLUMNS, *repeated],
        "write_statistics": False,
    }
    with place.writing() as stream:
        with pq.ParquetWriter(stream, schema, **options) as writer:
            for group in groups:
                rows = max(1, len(group))
                writer.write_table(group, row_group_size=rows)


def training_columns(file: pq.ParquetFile) -> list[str]:
    """Name a file's columns without those that training does not read."""
    return [name for name in file.schema_arrow.names if name not in ORIGIN_COLUMNS]


def clips_of(batch: pa.RecordBatch) -> Iterator[Clip]:
    """Yield the clips of a batch that has all the columns of :func:`training_columns`."""
    arrays = {
        column.name: list(_views(batch.column(column.name)))
        for column in batch.schema
        if column.type == ARRAY
    }
    prompts = list(_prompts_of(batch.column("voice_prompts")))
    plain = batch.drop_columns([*arrays, "voice_prompts"])
    for number, row in enumerate(plain.to_pylist()):
        turns = [_turn_of(turn) for turn in row.pop("turns")]
        base = _taken_out(row, _CLIP_FIELDS)
        for name, views in arrays.items():
            row[name] = views[number]
        yield Clip(
            **base,
            turns=tuple(turns),
            voice_prompts=prompts[number],
            columns=row,
        )


def _turn_of(turn: dict[str, Any]) -> ClipTurn:
    base = _taken_out(turn, _TURN_FIELDS)
    return ClipTurn(**base, columns=turn)


def _taken_out(row: dict[str, Any], fields: Sequence[pa.Field]) -> dict[str, Any]:
    """Take the values of these fields out of a row, so that the family's own are left."""
    names = [column.name for column in fields]
    return {name: row.pop(name) for name in names}


def _prompts_of(column: pa.ListArray) -> Iterator[tuple[VoicePrompt, ...]]:
    """Yield the voice prompts of each clip."""
    prompts = column.values
    people = prompts.field(_SPEAKER.name).to_pylist()
    made = [VoicePrompt(person, {}) for person in people]
    for member in prompts.type:
        if member.name == _SPEAKER.name:
            continue
        values = _values(prompts.field(member.name))
        for prompt, value in zip(made, values, strict=True):
            prompt.columns[member.name] = value
    offsets = column.offsets.to_pylist()
    for first, past in pairwise(offsets):
        yield tuple(made[first:past])


def _values(column: pa.Array) -> Iterator[Any]:
    if column.type == ARRAY:
        return _views(column)
    return iter(column.to_pylist())


def _views(column: pa.LargeBinaryArray) -> Iterator[Half | None]:
    """Yield the numbers of each value as a flat view of the column's memory; None for a null."""
    for value in column:
        if value.is_valid:
            yield np.frombuffer(value.as_buffer(), LITTLE_ENDIAN_HALF)
        else:
            yield None

"""A part: the file that one task makes of a group of recordings, on their way to shards.

A part is an Arrow file: its values are not compressed, and rows can be taken from it where it lies.
Its schema's metadata says which recordings it holds and which cannot be used. So a run that was
stopped goes on with what its parts lack, and recordings that were tried are not tried again.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import pyarrow as pa

from vibesweep.corpus.clip_encoder import ClipEncoder, EncodedSound, SoundEncoder, TextEncoder
from vibesweep.corpus.preprocess.clips import ReadRecording, Row, SoundFormat, Sounds, rows_of
from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.preprocess.plan import Part
from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.rejects import RecordingError, Reject
from vibesweep.corpus.shards.schema import Columns, row_schema
from vibesweep.corpus.text.turns import read_turns
from vibesweep.errors import ResourceError
from vibesweep.storage import StoragePath

TRIED_KEY = b"vibesweep.part"


@dataclass(frozen=True)
class Tried:
    """What became of a part's recordings.

    Attributes:
        used: fingerprints of the recordings whose clips it holds.
        rejects: those that cannot be used, by fingerprint.
    """

    used: tuple[str, ...] = ()
    rejects: dict[str, Reject] = field(default_factory=dict)


@dataclass(frozen=True)
class DecodedPart:
    """A part whose rows and voice prompts name their sounds by number.

    Attributes:
        name: of the file that it becomes.
        recordings: how many were tried.
        rows: of the clips.
        tried: what became of the recordings.
        sounds: samples [S] of clips and voice prompts.
    """

    name: str
    recordings: int
    rows: list[Row]
    tried: Tried
    sounds: Sounds


@dataclass(frozen=True)
class PartSummary:
    """What a task reports of a part that it has written.

    Attributes:
        recordings: how many were tried.
        speech_s: seconds of speech encoded.
    """

    recordings: int
    speech_s: float


def decode_part(part: Part, encoder: ClipEncoder, max_duration_s: float) -> DecodedPart:
    """Read the texts of a part's recordings and decode their audio; keep what can be used."""
    texts = encoder.open_text()
    read, rejects = _read_texts(part.recordings, texts)
    sounds = Sounds(SoundFormat(encoder.sample_rate_hz, encoder.level_dbfs))
    rows: list[Row] = []
    for recording in read:
        try:
            rows += rows_of(recording, texts, sounds, max_duration_s)
        except RecordingError as error:
            planned = recording.planned
            rejects[planned.fingerprint] = _reject(planned, error)
    used = tuple(dict.fromkeys(row["fingerprint"] for row in rows))
    return DecodedPart(part.name, len(part.recordings), rows, Tried(used, rejects), sounds)


def encode_sounds(part: DecodedPart, encoder: SoundEncoder, columns: Columns) -> list[Row]:
    """Complete a part's rows with what the family makes of their sounds."""
    encoded = [encoder.encode(samples) for samples in part.sounds.samples]
    prompt_columns = {column.name for column in columns.prompt}
    return [_with_sounds(row, encoded, prompt_columns) for row in part.rows]


def write_part(
    part: DecodedPart, rows: Sequence[Row], columns: Columns, folder: StoragePath
) -> PartSummary:
    """Write a part; the file has no rows where no recording can be used."""
    tried = {TRIED_KEY: json.dumps(asdict(part.tried))}
    schema = row_schema(columns).with_metadata(tried)
    table = pa.Table.from_pylist(list(rows), schema=schema)
    with (folder / part.name).writing() as stream, pa.ipc.new_file(stream, schema) as writer:
        writer.write_table(table)
    return PartSummary(part.recordings, sum(row["duration_s"] for row in rows))


def read_part(place: StoragePath) -> pa.Table:
    """Read the rows of a part in one chunk; they are mapped into memory where the file is local."""
    if place.local is not None:
        source = pa.memory_map(str(place.local))
    else:
        source = pa.BufferReader(place.read_bytes())
    return pa.ipc.open_file(source).read_all()


def read_tried(place: StoragePath) -> Tried:
    """Read what became of the recordings of a part."""
    found = json.loads(read_part(place).schema.metadata[TRIED_KEY])
    rejects = {key: Reject(**reject) for key, reject in found["rejects"].items()}
    return Tried(tuple(found["used"]), rejects)


def is_part(place: StoragePath) -> bool:
    """Tell by its name whether a file is a part."""
    return place.name.startswith("part-") and place.name.endswith(".arrow")


def parts_in(folder: StoragePath) -> list[StoragePath]:
    """List the whole parts of a folder."""
    places = [folder / stat.name for stat in folder.files()]
    return [place for place in places if is_part(place)]


def _with_sounds(row: Row, encoded: Sequence[EncodedSound], prompt_columns: set[str]) -> Row:
    own = encoded[row["sound"]]
    prompts = [
        {"speaker": prompt["speaker"]} | _chosen(encoded[prompt["sound"]].columns, prompt_columns)
        for prompt in row["voice_prompts"]
    ]
    plain = {name: value for name, value in row.items() if name != "sound"}
    return plain | {"patches": own.patches, "voice_prompts": prompts} | dict(own.columns)


def _chosen(columns: Mapping[str, object], names: set[str]) -> Row:
    return {name: value for name, value in columns.items() if name in names}


def _read_texts(
    recordings: Sequence[Planned], texts: TextEncoder
) -> tuple[list[ReadRecording], dict[str, Reject]]:
    """Read the turns of recordings and have the family read all of their texts in one call."""
    turns_read: list[tuple[Planned, tuple[Turn, ...]]] = []
    rejects: dict[str, Reject] = {}
    for planned in recordings:
        try:
            turns_read.append((planned, read_turns(planned.recording)))
        except RecordingError as error:
            rejects[planned.fingerprint] = _reject(planned, error)
    readings = iter(texts.read([turn.text for _, turns in turns_read for turn in turns]))
    read = []
    for planned, turns in turns_read:
        recording = ReadRecording(planned, turns, tuple(next(readings) for _ in turns))
        silent = _silent_turn(recording)
        if silent is None:
            read.append(recording)
        else:
            where = planned.recording.text or planned.recording.audio
            detail = f"{silent.text[:80]!r}"
            reject = Reject(planned.recording.id, where, "no_phonemes", detail)
            rejects[planned.fingerprint] = reject
    return read, rejects


def _silent_turn(recording: ReadRecording) -> Turn | None:
    """Find the first turn with nothing to say."""
    for turn, reading in zip(recording.turns, recording.readings, strict=True):
        if reading.length == 0:
            return turn
    return None


def _reject(planned: Planned, error: RecordingError) -> Reject:
    """Keep an error as a reject, unless a file that was there at planning is not there now.

    Raises:
        ResourceError: this host does not see one of the recording's files.
    """
    for address in planned.recording.files():
        if StoragePath.of(address).stat() is None:
            found = f"this host does not see {address}"
            fix = (
                "have the corpus where all hosts of the cluster see it: on a shared disk,"
                " or in an object store"
            )
            raise ResourceError(found, where=platform.node(), fix=fix) from error
    return Reject.of(planned.recording.id, error)

"""A part: the file that one task makes of a group of recordings, on their way to shards.

A part is an Arrow file: its values are not compressed, and rows can be taken from it where it lies.
Its schema's metadata says which recordings it holds and which cannot be used. So a run that was
stopped goes on with what its parts lack, and recordings that were tried are not tried again.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

import pyarrow as pa

from vibesweep.config.corpus import EDGE_SILENCE_S
from vibesweep.corpus.clip_encoder import ClipEncoder, EncodedSound, SoundEncoder, TextEncoder
from vibesweep.corpus.preprocess.clips import ReadRecording, Row, rows_of
from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.preprocess.plan import Part
from vibesweep.corpus.preprocess.sounds import SoundFormat, Sounds
from vibesweep.corpus.recordings import Recording, Turn
from vibesweep.corpus.rejects import RecordingError, Reject
from vibesweep.corpus.shards.schema import Columns, row_schema
from vibesweep.corpus.text.turns import ReadText, read_turns
from vibesweep.errors import ResourceError
from vibesweep.storage import StoragePath
from vibesweep.storage.json_text import parse_json

TRIED_KEY = b"vibesweep.part"
TEXT_SHOWN = 80  # characters of a turn in a reject


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


def decode_part(
    part: Part,
    encoder: ClipEncoder,
    max_duration_s: float,
    max_edge_silence_s: float = EDGE_SILENCE_S,
) -> DecodedPart:
    """Read the texts of a part's recordings and decode their audio; keep what can be used.

    Args:
        part: the recordings.
        encoder: of the model family.
        max_duration_s: longer recordings are cut.
        max_edge_silence_s: longer silence at a clip's ends is cut off.
    """
    texts = encoder.open_text()
    read, rejects = _read_texts(part.recordings, texts)
    rate_hz, level = encoder.sample_rate_hz, encoder.level_dbfs
    sounds = Sounds(SoundFormat(rate_hz, level, max_edge_silence_s))
    rows: list[Row] = []
    for recording in read:
        try:
            rows += rows_of(recording, texts, sounds, max_duration_s)
        except RecordingError as error:
            planned = recording.planned
            rejects[planned.fingerprint] = _reject(planned, error)
    used = dict.fromkeys(row["fingerprint"] for row in rows)
    return DecodedPart(
        name=part.name,
        recordings=len(part.recordings),
        rows=rows,
        tried=Tried(tuple(used), rejects),
        sounds=sounds,
    )


def encode_sounds(part: DecodedPart, encoder: SoundEncoder, columns: Columns) -> list[Row]:
    """Complete a part's rows with what the family makes of their sounds."""
    encoded = [encoder.encode(samples) for samples in part.sounds.samples]
    prompt_columns = {column.name for column in columns.prompt}
    return [_with_sounds(row, encoded, prompt_columns) for row in part.rows]


def write_part(
    part: DecodedPart, rows: Sequence[Row], columns: Columns, folder: StoragePath
) -> PartSummary:
    """Write a part; the file has no rows where no recording can be used."""
    tried = json.dumps(asdict(part.tried))
    schema = row_schema(columns).with_metadata({TRIED_KEY: tried})
    table = pa.Table.from_pylist(list(rows), schema=schema)
    place = folder / part.name
    with place.writing() as stream:
        with pa.ipc.new_file(stream, schema) as writer:
            writer.write_table(table)
    speech_s = sum(row["duration_s"] for row in rows)
    return PartSummary(part.recordings, speech_s)


def read_part(place: StoragePath) -> pa.Table:
    """Read the rows of a part in one chunk; they are mapped into memory where the file is local."""
    if place.local is not None:
        source = pa.memory_map(str(place.local))
    else:
        content = place.read_bytes()
        source = pa.BufferReader(content)
    file = pa.ipc.open_file(source)
    return file.read_all()


def read_tried(place: StoragePath) -> Tried:
    """Read what became of the recordings of a part."""
    metadata = read_part(place).schema.metadata
    found = parse_json(metadata[TRIED_KEY])
    rejects = {key: Reject(**reject) for key, reject in found["rejects"].items()}
    return Tried(tuple(found["used"]), rejects)


def is_part(place: StoragePath) -> bool:
    """Tell by its name whether a file is a part."""
    name = place.name
    return name.startswith("part-") and name.endswith(".arrow")


def parts_in(folder: StoragePath) -> list[StoragePath]:
    """List the whole parts of a folder."""
    places = [folder / stat.name for stat in folder.files()]
    return [place for place in places if is_part(place)]


def _with_sounds(row: Row, encoded: Sequence[EncodedSound], prompt_columns: set[str]) -> Row:
    complete = dict(row)
    own = encoded[complete.pop("sound")]
    complete["patches"] = own.patches
    complete.update(own.columns)
    complete["voice_prompts"] = []
    for prompt in row["voice_prompts"]:
        columns = encoded[prompt["sound"]].columns
        kept = {name: value for name, value in columns.items() if name in prompt_columns}
        complete["voice_prompts"].append({"speaker": prompt["speaker"], **kept})
    return complete


def _read_texts(
    recordings: Sequence[Planned], texts: TextEncoder
) -> tuple[list[ReadRecording], dict[str, Reject]]:
    """Read the turns of recordings and have the family read all of their texts in one call."""
    texts_read: list[tuple[Planned, ReadText]] = []
    rejects: dict[str, Reject] = {}
    for planned in recordings:
        try:
            texts_read.append((planned, read_turns(planned.recording)))
        except RecordingError as error:
            rejects[planned.fingerprint] = _reject(planned, error)
    spoken = [turn.text for _, text in texts_read for turn in text.turns]
    readings = iter(texts.read(spoken))
    read = []
    for planned, text in texts_read:
        own_readings = [next(readings) for _ in text.turns]
        recording = ReadRecording(planned, text, tuple(own_readings))
        silent = _silent_turn(recording)
        if silent is None:
            read.append(recording)
        else:
            why = texts.why_silent(silent.text)
            rejects[planned.fingerprint] = _silent_reject(planned.recording, silent, why)
    return read, rejects


def _silent_reject(recording: Recording, turn: Turn, why: str) -> Reject:
    shown = repr(turn.text[:TEXT_SHOWN])
    where = recording.text or recording.audio
    return Reject(recording.id, where, "no_phonemes", f"{shown}: {why}")


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

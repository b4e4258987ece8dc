"""A part: the file that one task encodes a group of recordings into, on their way to shards.

It is an Arrow file: nothing is encoded, and mels can be taken from it one by one where it lies. Its schema's metadata says which
recordings it holds and which of its recordings cannot be used. So a run that was stopped goes on with what its parts lack, and
recordings that were tried need not be tried again.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from vibesweep.config import CorpusSettings
from vibesweep.corpus.preprocess.clips import Row, Sounds, Spoken, encode, length_of, sounds
from vibesweep.corpus.preprocess.fingerprints import Planned
from vibesweep.corpus.preprocess.plan import Part
from vibesweep.corpus.preprocess.stopwatch import Stopwatch
from vibesweep.corpus.recordings import Recording, Turn
from vibesweep.corpus.rejects import RecordingError, Reject
from vibesweep.corpus.shards.schema import ROW_SCHEMA
from vibesweep.corpus.text.phonemes import phonemize
from vibesweep.corpus.text.turns import read_turns
from vibesweep.errors import ResourceError
from vibesweep.storage import StoragePath

FOOTER = b"vibesweep.part"


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
class PartRows:
    """A part before it is written.

    Attributes:
        name: of its file.
        recordings: how many were tried.
        rows: of their clips.
        tried: what became of them.
        worked_s: seconds worked so far, by stage.
    """

    name: str
    recordings: int
    rows: list[Row]
    tried: Tried
    worked_s: dict[str, float]


@dataclass(frozen=True)
class PartSummary:
    """What a task says when it has written a part: recordings tried, seconds of speech encoded, and seconds worked, by stage."""

    recordings: int
    speech_s: float
    worked_s: dict[str, float]

    def to_row(self) -> dict[str, Any]:
        """A row of a Ray dataset."""
        return {"summary": json.dumps(asdict(self))}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> PartSummary:
        """The summary of such a row."""
        return cls(**json.loads(row["summary"]))


def part_to_json(part: Part) -> str:
    """JSON, on its way to a task."""
    return json.dumps(
        [[planned.recording.to_json(), planned.fingerprint] for planned in part.recordings]
    )


def part_from_json(text: str) -> Part:
    """The part of such JSON."""
    return Part(
        tuple(
            Planned(Recording.from_json(recording), fingerprint)
            for recording, fingerprint in json.loads(text)
        )
    )


def make_part(part: Part, settings: CorpusSettings, kept: Sounds | None = None) -> PartRows:
    """Encode those of a part's recordings that can be used; ``kept`` takes their samples, as :func:`clips.encode` tells."""
    watch = Stopwatch()
    spoken, rejects = _read_texts(part.recordings, settings, watch, by_phonemes=kept is None)
    rows: list[Row] = []
    for item in spoken:
        try:
            rows += encode(item, settings, watch, kept)
        except RecordingError as error:
            rejects[item.planned.fingerprint] = _reject(item.planned, error)
    tried = Tried(tuple(dict.fromkeys(row["fingerprint"] for row in rows)), rejects)
    return PartRows(part.name, len(part.recordings), rows, tried, watch.seconds)


def write_part(made: PartRows, folder: StoragePath) -> PartSummary:
    """Write a part; the file has no rows where no recording can be used."""
    watch = Stopwatch()
    schema = ROW_SCHEMA.with_metadata({FOOTER: json.dumps(asdict(made.tried))})
    with (
        watch("write"),
        (folder / made.name).writing() as stream,
        pa.ipc.new_file(stream, schema) as writer,
    ):
        writer.write_table(pa.Table.from_pylist(made.rows, schema=schema))
    return PartSummary(
        made.recordings, sum(row["duration_s"] for row in made.rows), made.worked_s | watch.seconds
    )


def read_part(place: StoragePath) -> pa.Table:
    """The rows of a part, of :data:`ROW_SCHEMA` and in one chunk; mapped into memory where it is local."""
    source = (
        pa.memory_map(str(place.local))
        if place.local is not None
        else pa.BufferReader(place.read_bytes())
    )
    return pa.ipc.open_file(source).read_all()


def read_tried(place: StoragePath) -> Tried:
    """What became of the recordings of a part that is there."""
    found = json.loads(read_part(place).schema.metadata[FOOTER])
    return Tried(
        tuple(found["used"]),
        {fingerprint: Reject(**reject) for fingerprint, reject in found["rejects"].items()},
    )


def _read_texts(
    recordings: Sequence[Planned], settings: CorpusSettings, watch: Stopwatch, by_phonemes: bool
) -> tuple[list[Spoken], dict[str, Reject]]:
    """Turns and phonemes of the recordings, phonemized in one call; a model with an encoder of its own reads texts, not phonemes."""
    read: list[tuple[Planned, tuple[Turn, ...]]] = []
    rejects: dict[str, Reject] = {}
    for planned in recordings:
        try:
            read.append((planned, read_turns(planned.recording)))
        except RecordingError as error:
            rejects[planned.fingerprint] = _reject(planned, error)
    with watch("phonemes"):
        answers = iter(
            phonemize([turn.text for _, turns in read for turn in turns], settings.language)
        )
    spoken = []
    for planned, turns in read:
        item = Spoken(planned, turns, tuple(next(answers) for _ in turns))
        said = sounds if by_phonemes else length_of
        mute = [
            turn.text
            for turn, phonemes in zip(turns, item.phonemes, strict=True)
            if not said(phonemes)
        ]
        if mute:
            where = planned.recording.text or planned.recording.audio
            rejects[planned.fingerprint] = Reject(
                planned.recording.id, where, "no_phonemes", f"{mute[0][:80]!r}"
            )
        else:
            spoken.append(item)
    return spoken, rejects


def _reject(planned: Planned, error: RecordingError) -> Reject:
    """What is kept of an error: unless a file that was there when this was planned is not, for that is no fault of the recording.

    Raises:
        ResourceError: this host does not see one of its files.
    """
    for address in planned.recording.files():
        if StoragePath.of(address).stat() is None:
            fix = "have the corpus where all hosts of the cluster see it: on a shared disk, or in an object store"
            raise ResourceError(
                f"this host does not see {address}", where=platform.node(), fix=fix
            ) from error
    return Reject.of(planned.recording.id, error)


def is_part(place: StoragePath) -> bool:
    """Whether a file is a part, by its name."""
    return place.name.startswith("part-") and place.name.endswith(".arrow")


def parts_in(folder: StoragePath) -> list[StoragePath]:
    """The parts that are there, whole."""
    return [folder / stat.name for stat in folder.files() if is_part(folder / stat.name)]

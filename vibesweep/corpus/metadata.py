"""Reads a corpus folder: which recordings there are, who speaks in them, and what is said when."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vibesweep.corpus.rejects import RecordingError, Reject
from vibesweep.errors import CorpusError

METADATA_FILE = "metadata.csv"
SEGMENTS_FILE = "segments.json"
COLUMNS = ("id", "audio_path", "text_path", "num_speakers", "duration_sec")
SPEAKERS_COLUMN = "speakers"
DEFAULT_TAG = "SPEAKER_A"
MAX_SPEAKERS = 4  # in one clip: VibeVoice's own limit

_TAGGED_LINE = re.compile(r"\[\s*([A-Za-z0-9_-]+)\s*\]\s*(.*)", re.DOTALL)


@dataclass(frozen=True)
class Turn:
    """What one speaker says until the next one begins."""

    tag: str
    text: str


@dataclass(frozen=True)
class Segment:
    """When a turn is spoken, as ``segments.json`` says."""

    tag: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Recording:
    """One row of ``metadata.csv``.

    Attributes:
        id: unique in the corpus.
        audio: the audio file.
        text: the text file.
        num_speakers: how many people speak.
        duration_s: as the row says.
        speakers: (tag, person) pairs; a tag that is not among them is taken to be the same person across the corpus.
        segments: one for each turn, or none when the times are not known.
    """

    id: str
    audio: Path
    text: Path
    num_speakers: int
    duration_s: float
    speakers: tuple[tuple[str, str], ...] = ()
    segments: tuple[Segment, ...] = ()

    def person(self, tag: str) -> str:
        """Who a tag is across clips."""
        return dict(self.speakers).get(tag, tag)


@dataclass(frozen=True)
class Metadata:
    """The recordings of a corpus in the order of its rows, and the rows that cannot be used."""

    recordings: tuple[Recording, ...]
    rejects: tuple[Reject, ...]


def read_metadata(corpus: Path) -> Metadata:
    """Read ``metadata.csv``, and ``segments.json`` where there is one.

    Raises:
        CorpusError: there is no table, it has no rows, lacks a column, or ``segments.json`` cannot be read.
    """
    table = corpus / METADATA_FILE
    rows = _read_table(table)
    segments = _read_segments(corpus / SEGMENTS_FILE)
    recordings: dict[str, Recording] = {}
    rejects = []
    for line, row in rows:
        name = (row.get("id") or "").strip()
        try:
            recording = _recording(corpus, row, segments, where=f"{table}:{line}")
            if recording.id in recordings:
                raise RecordingError("duplicate_id", name, where=f"{table}:{line}")
            recordings[recording.id] = recording
        except RecordingError as error:
            rejects.append(Reject.of(name, error))
    return Metadata(tuple(recordings.values()), tuple(rejects))


def read_turns(recording: Recording) -> tuple[Turn, ...]:
    """The turns of a recording's text file.

    Raises:
        RecordingError: the file is missing, unreadable or empty, or its tags do not fit the row or the segments.
    """
    where = str(recording.text)
    try:
        text = recording.text.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordingError("unreadable_text", f"byte {error.start}: {error.reason}", where=where) from error
    except OSError as error:
        raise RecordingError("missing_text", error.strerror or str(error), where=where) from error
    turns = parse_turns(text)
    if not turns:
        raise RecordingError("empty_text", f"{len(text)} characters", where=where)
    tags = list(dict.fromkeys(turn.tag for turn in turns))
    if len(tags) != recording.num_speakers or len(tags) > MAX_SPEAKERS:
        detail = f"{len(tags)} in the text ({', '.join(tags)}), num_speakers is {recording.num_speakers}, limit {MAX_SPEAKERS}"
        raise RecordingError("speaker_count", detail, where=where)
    _check_segments(recording, turns)
    return turns


def parse_turns(text: str) -> tuple[Turn, ...]:
    """Turns from lines ``[SPEAKER_A] words``; a line without a tag goes on with the turn before it, or is SPEAKER_A's."""
    turns: list[Turn] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        tagged = _TAGGED_LINE.match(line)
        if tagged:
            turns.append(Turn(tagged[1].upper(), tagged[2].strip()))
        elif turns:
            turns[-1] = Turn(turns[-1].tag, f"{turns[-1].text} {line}".strip())
        else:
            turns.append(Turn(DEFAULT_TAG, line))
    return tuple(turn for turn in turns if turn.text)


def _read_table(table: Path) -> list[tuple[int, dict[str, str]]]:
    wanted = f"write a table with the columns {', '.join(COLUMNS)}, or take --corpus demo"
    if not table.is_file():
        raise CorpusError(f"no {table.name}", where=str(table.parent), fix=wanted)
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lacking = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
            if lacking:
                raise CorpusError(f"the columns {', '.join(lacking)} are missing", where=str(table), fix=wanted)
            rows = [(reader.line_num, row) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise CorpusError(f"it cannot be read ({error})", where=str(table), fix="save it as UTF-8 CSV") from error
    if not rows:
        raise CorpusError("it has no rows", where=str(table), fix="add one row for each recording")
    return rows


def _recording(corpus: Path, row: Mapping[str, str], segments: Mapping[str, Any], *, where: str) -> Recording:
    values = {column: (row.get(column) or "").strip() for column in (*COLUMNS, SPEAKERS_COLUMN)}
    empty = [column for column in COLUMNS if not values[column]]
    if empty:
        raise RecordingError("bad_row", f"{', '.join(empty)} empty", where=where)
    try:
        num_speakers, duration_s = int(values["num_speakers"]), float(values["duration_sec"])
    except ValueError as error:
        raise RecordingError("bad_row", str(error), where=where) from error
    if num_speakers < 1 or not (duration_s > 0 and math.isfinite(duration_s)):
        raise RecordingError("bad_row", f"num_speakers {num_speakers}, duration_sec {duration_s}", where=where)
    audio, text = corpus / values["audio_path"], corpus / values["text_path"]
    for path, reason in ((audio, "missing_audio"), (text, "missing_text")):
        if not path.is_file():
            raise RecordingError(reason, "no such file", where=str(path))
    people = _parse_speakers(values[SPEAKERS_COLUMN], where=where)
    times = _parse_segments(segments.get(values["id"], []), where=f"{corpus / SEGMENTS_FILE}, {values['id']}")
    return Recording(values["id"], audio, text, num_speakers, duration_s, people, times)


def _parse_speakers(cell: str, *, where: str) -> tuple[tuple[str, str], ...]:
    pairs = [tuple(part.strip() for part in entry.split("=", 1)) for entry in cell.split(";") if entry.strip()]
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise RecordingError("bad_row", f"speakers is {cell!r}, not SPEAKER_A=name;SPEAKER_B=name", where=where)
    return tuple((tag.upper(), person) for tag, person in pairs)


def _read_segments(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        segments = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorpusError(f"it is not JSON ({error})", where=str(path), fix="mend it, or remove it to have times estimated") from error
    if not isinstance(segments, dict):
        raise CorpusError("it is not an object of ids", where=str(path), fix='write {"id": [{"speaker", "start", "end"}, ...]}')
    return segments


def _parse_segments(entries: Iterable[Any], *, where: str) -> tuple[Segment, ...]:
    try:
        segments = tuple(Segment(str(e["speaker"]).upper(), float(e["start"]), float(e["end"])) for e in entries)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordingError("bad_segments", f"{type(error).__name__}: {error}", where=where) from error
    for segment in segments:
        if not 0 <= segment.start_s < segment.end_s < math.inf:
            raise RecordingError("bad_segments", f"from {segment.start_s} to {segment.end_s} s", where=where)
    return segments


def _check_segments(recording: Recording, turns: tuple[Turn, ...]) -> None:
    if not recording.segments:
        return
    spoken, timed = [turn.tag for turn in turns], [segment.tag for segment in recording.segments]
    if spoken != timed:
        raise RecordingError("bad_segments", f"turns are {' '.join(spoken)}, segments {' '.join(timed)}", where=recording.id)
    last_s = max(segment.end_s for segment in recording.segments)
    if last_s > recording.duration_s + 0.05:  # rounding in hand-made tables
        raise RecordingError("bad_segments", f"ends at {last_s} s of {recording.duration_s} s", where=recording.id)

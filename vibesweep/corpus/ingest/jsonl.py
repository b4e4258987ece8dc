"""The layout of VibeVoice's own fine-tuning data: one JSON object a line.

``{"text": ..., "audio": ..., "voice_prompts": [...]}``
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from vibesweep.corpus.ingest.recording_names import names_of
from vibesweep.corpus.ingest.rows import (
    TableRow,
    excerpt,
    numbered_lines,
    parse_address,
    parse_id,
    parse_row,
    parse_seconds,
    parse_speakers,
    read_rows,
)
from vibesweep.corpus.recordings import Metadata, Reading, Recording
from vibesweep.corpus.rejects import RecordingError
from vibesweep.storage import StoragePath

_KEYS = ("id", "text", "audio", "voice_prompts", "speakers", "duration", "duration_sec")

Parsed = dict[str, Any] | RecordingError
"""The object in a line, or what is wrong with the line."""


@dataclass(frozen=True)
class _NamedRow:
    """A line with the id that its recording gets, and its audio file's address if it has one."""

    id: str
    audio: str
    parsed: Parsed


def read_jsonl(table: StoragePath, text: str) -> Metadata:
    """Read a file of JSON lines.

    A recording without an id is named after its audio file: by the stem, or by the path where
    others share the stem.

    Raises:
        CorpusError: there are no rows.
    """
    folder = table.parent
    lines = list(numbered_lines(text))
    parsed = [_parse_line(content) for _, content in lines]
    own_ids = [_own_id(row) for row in parsed]
    audios = [_audio_or_nothing(folder, row) for row in parsed]
    names = names_of(folder, own_ids, audios)
    rows = []
    for (line, _), name, audio, row in zip(lines, names, audios, parsed, strict=True):
        named = _NamedRow(name, audio, row)
        rows.append(TableRow(line, name, named))
    found = read_rows(table, rows, _reader(folder))
    keys = [key for key in _KEYS if any(isinstance(row, dict) and key in row for row in parsed)]
    return replace(found, reading=Reading("JSON lines", tuple(keys)))


def _parse_line(content: str) -> Parsed:
    try:
        row = parse_row(content)
    except ValueError as error:
        return RecordingError("bad_row", f"it is not JSON: {error}")
    if not isinstance(row, dict):
        return RecordingError("bad_row", f"it is {type(row).__name__}, not a JSON object")
    return row


def _own_id(row: Parsed) -> str | None:
    """Return the row's own id; ``None`` where it is to be named after its audio."""
    if isinstance(row, RecordingError):
        return ""
    name = row.get("id")
    if name is None:
        return None
    is_id = isinstance(name, str | int) and not isinstance(name, bool)
    return str(name).strip() if is_id else ""


def _audio_or_nothing(folder: StoragePath, row: Parsed) -> str:
    """Return the audio file's address; what is wrong with it is told when the row is read."""
    if isinstance(row, RecordingError):
        return ""
    try:
        return parse_address(folder, row.get("audio"), "audio")
    except RecordingError:
        return ""


def _reader(folder: StoragePath) -> Callable[[_NamedRow], Recording]:
    """Return a function that makes a recording of one row."""

    def read(named: _NamedRow) -> Recording:
        row = named.parsed
        if isinstance(row, RecordingError):
            raise row
        # Without an address parsing it again says what is wrong with it
        audio = named.audio or parse_address(folder, row.get("audio"), "audio")
        return Recording(
            audio=audio,
            id=parse_id(named.id),
            words=_parse_words(row.get("text")),
            duration_s=parse_seconds(row.get("duration_sec", row.get("duration")), "duration"),
            speakers=_parse_people(row.get("speakers")),
            voice_prompts=_parse_prompts(folder, row.get("voice_prompts")),
            extra=tuple((key, _as_text(row[key])) for key in row if key not in _KEYS),
        )

    return read


def _parse_words(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise RecordingError("bad_row", f"text is {excerpt(text)}")
    return text


def _parse_people(value: Any) -> tuple[tuple[str, str], ...]:
    """Parse an object of tags and people."""
    if value is None:
        return ()
    if not isinstance(value, dict) or not _are_names(value.values()):
        raise RecordingError(
            "bad_row", f"speakers is {excerpt(value)}, not an object of tags and people"
        )
    return parse_speakers([(tag, str(person)) for tag, person in value.items()], value)


def _are_names(people: Any) -> bool:
    return all(isinstance(person, str | int) for person in people)


def _parse_prompts(folder: StoragePath, value: Any) -> tuple[str, ...]:
    prompts = [value] if isinstance(value, str) else value or []
    if not isinstance(prompts, list):
        raise RecordingError("bad_row", f"voice_prompts is {excerpt(value)}, not a list of paths")
    return tuple(parse_address(folder, prompt, "voice_prompts") for prompt in prompts)


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return json.dumps(value, ensure_ascii=False)
    except RecursionError as error:
        raise RecordingError("bad_row", "values are nested too deeply") from error

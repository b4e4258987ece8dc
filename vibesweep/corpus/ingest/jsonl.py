"""The layout of VibeVoice's own fine-tuning data: one JSON object a line, ``{"text": ..., "audio": ..., "voice_prompts": [...]}``."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from vibesweep.corpus.ingest.rows import (
    address,
    checked_id,
    gather,
    lines_of,
    parse_json,
    people,
    seconds,
    shown,
)
from vibesweep.corpus.recordings import Metadata, Recording
from vibesweep.corpus.rejects import RecordingError
from vibesweep.storage import StoragePath

_KNOWN = {"id", "text", "audio", "voice_prompts", "speakers", "duration", "duration_sec"}

Row = dict[str, Any] | RecordingError


def read_jsonl(table: StoragePath, text: str) -> Metadata:
    """Recordings of a file of JSON lines. One without an id has its audio file's stem, or its path where others share the stem.

    Raises:
        CorpusError: there are no rows.
    """
    folder = table.parent
    rows = [(line, _row(content)) for line, content in lines_of(text)]
    audios = [_audio(folder, row) for _, row in rows]
    names = _names(folder, [_given(row) for _, row in rows], audios)
    named = (
        (line, name, (name, audio, row))
        for (line, row), name, audio in zip(rows, names, audios, strict=True)
    )
    return gather(table, named, _reader(folder))


def _row(content: str) -> Row:
    try:
        row = parse_json(content)
    except ValueError as error:
        return RecordingError("bad_row", f"it is not JSON: {error}")
    return (
        row
        if isinstance(row, dict)
        else RecordingError("bad_row", f"it is {type(row).__name__}, not a JSON object")
    )


def _names(folder: StoragePath, given: Sequence[str | None], audios: Sequence[str]) -> list[str]:
    """An id for each row, the same in whichever order they come; empty where it has none and no audio to be named after."""
    taken = {name for name in given if name}
    sharing = defaultdict(set)
    for name, audio in zip(given, audios, strict=True):
        if name is None:
            sharing[_stem(audio)].add(audio)

    def derived(audio: str) -> str:
        stem = _stem(audio)
        return (
            stem
            if stem and stem not in taken and len(sharing[stem]) == 1
            else StoragePath(audio).relative_to(folder)
        )

    return [
        name if name is not None else audio and derived(audio)
        for name, audio in zip(given, audios, strict=True)
    ]


def _given(row: Row) -> str | None:
    """The row's own id; ``None`` where it is to be named after its audio."""
    if isinstance(row, RecordingError):
        return ""
    name = row.get("id")
    if name is None:
        return None
    return str(name).strip() if isinstance(name, str | int) and not isinstance(name, bool) else ""


def _audio(folder: StoragePath, row: Row) -> str:
    try:
        return "" if isinstance(row, RecordingError) else address(folder, row.get("audio"), "audio")
    except RecordingError:  # told of when the row is read
        return ""


def _stem(audio: str) -> str:
    name = StoragePath(audio).name if "?" in audio else audio.rpartition("/")[2]
    return name.rpartition(".")[0] or name


def _reader(folder: StoragePath) -> Callable[[tuple[str, str, Row]], Recording]:
    """What makes a recording of an id, the audio's address and a row."""

    def read(named: tuple[str, str, Row]) -> Recording:
        name, audio, row = named
        if isinstance(row, RecordingError):
            raise row
        return Recording(
            audio=audio
            or address(folder, row.get("audio"), "audio"),  # the second says what is wrong with it
            id=checked_id(name),
            words=_words(row.get("text")),
            duration_s=seconds(row.get("duration_sec", row.get("duration")), "duration"),
            speakers=_speakers(row.get("speakers")),
            voice_prompts=_prompts(folder, row.get("voice_prompts")),
            extra=tuple((key, _plain(value)) for key, value in row.items() if key not in _KNOWN),
        )

    return read


def _words(text: Any) -> str:
    if not isinstance(text, str) or not text.strip():
        raise RecordingError("bad_row", f"text is {shown(text)}")
    return text


def _speakers(found: Any) -> tuple[tuple[str, str], ...]:
    if found is None:
        return ()
    if not isinstance(found, dict) or not all(
        isinstance(person, str | int) for person in found.values()
    ):
        raise RecordingError(
            "bad_row", f"speakers is {shown(found)}, not an object of tags and people"
        )
    return people(((tag, str(person)) for tag, person in found.items()), found)


def _prompts(folder: StoragePath, found: Any) -> tuple[str, ...]:
    prompts = [found] if isinstance(found, str) else found or []
    if not isinstance(prompts, list):
        raise RecordingError("bad_row", f"voice_prompts is {shown(found)}, not a list of paths")
    return tuple(address(folder, prompt, "voice_prompts") for prompt in prompts)


def _plain(value: Any) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except RecursionError as error:
        raise RecordingError("bad_row", "values are nested too deeply") from error

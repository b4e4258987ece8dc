"""The text of a recording becomes turns: who says what."""

from __future__ import annotations

from collections.abc import Sequence

import regex

from vibesweep.corpus.recordings import DEFAULT_TAG, MAX_SPEAKERS, Recording, Turn
from vibesweep.corpus.rejects import RecordingError
from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath

SEGMENTS_TOLERANCE_S = 0.05  # rounding in hand-made tables

# Inside a line a tag opens a turn only where a sentence has ended: "ask Speaker 1: he knows" is one sentence.
_OPENS = r"(?:^|(?<=[.?!…。？！][\"'”’」』)\]）]*)\s*)"
_BRACKETED = r"\[\s*(?P<tag>[\w-]+)\s*\]\s*[:：]?"
_NUMBERED = r"(?i:speaker)[ \t]*(?P<number>[0-9]{1,4}|[A-Za-z])\s*[:：]"
_TAG = regex.compile(rf"{_OPENS}(?:{_BRACKETED}|{_NUMBERED})\s*")


def read_turns(recording: Recording) -> tuple[Turn, ...]:
    """The turns of a recording, from its text file or from the words that the table holds.

    Raises:
        RecordingError: the file is missing, unreadable or empty, or its tags do not fit the row or the segments.
    """
    where = recording.text or recording.id
    text = recording.words if recording.words is not None else _read(recording.text)
    turns = parse_turns(text)
    if not turns:
        raise RecordingError("empty_text", f"{len(text)} characters", where=where)
    _check_speakers(recording, turns, where)
    _check_segments(recording, turns)
    return turns


def parse_turns(text: str) -> tuple[Turn, ...]:
    """Turns from ``[SPEAKER_A] words`` or ``Speaker 1: words``, one to a line or several.

    A line without a tag goes on with the turn before it, or is SPEAKER_A's. ``Speaker 1`` becomes ``SPEAKER_1``.
    """
    turns: list[Turn] = []
    for line in filter(
        None, map(str.strip, text.replace("\ufeff", "").replace("\0", "").splitlines())
    ):
        for tag, words in _cut(line):
            if tag:
                turns.append(Turn(tag, words))
            elif turns:
                turns[-1] = Turn(turns[-1].tag, f"{turns[-1].text} {words}".strip())
            else:
                turns.append(Turn(DEFAULT_TAG, words))
    return tuple(turn for turn in turns if turn.text)


def _cut(line: str) -> list[tuple[str, str]]:
    """(tag, words) of a line; the tag of what stands before the first is empty."""
    found = list(_TAG.finditer(line))
    ends = [match.start() for match in found[1:]] + [len(line)]
    parts = [
        (_tag(match), line[match.end() : end].strip())
        for match, end in zip(found, ends, strict=False)
    ]
    before = line[: found[0].start()].strip() if found else line
    return [("", before), *parts] if before else parts


def _tag(match: regex.Match[str]) -> str:
    return (match["tag"] or f"SPEAKER_{match['number']}").upper()


def _read(address: str) -> str:
    if not address:
        raise RecordingError("missing_text", "the row names none", where="text")
    try:
        return StoragePath.of(address).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordingError(
            "unreadable_text", f"byte {error.start}: {error.reason}", where=address
        ) from error
    except FileNotFoundError as error:
        raise RecordingError(
            "missing_text", error.strerror or "no such file", where=address
        ) from error
    except (OSError, StorageError, ValueError) as error:  # ValueError: a NUL in the address
        detail = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise RecordingError("unreadable_text", detail, where=address) from error


def _check_speakers(recording: Recording, turns: Sequence[Turn], where: str) -> None:
    tags = list(dict.fromkeys(turn.tag for turn in turns))
    said = recording.num_speakers
    if len(tags) > MAX_SPEAKERS or said not in (None, len(tags)):
        told = "" if said is None else f", num_speakers is {said}"
        listed = ", ".join(tags[:8])
        raise RecordingError(
            "speaker_count",
            f"{len(tags)} in the text ({listed}){told}, limit {MAX_SPEAKERS}",
            where=where,
        )


def _check_segments(recording: Recording, turns: Sequence[Turn]) -> None:
    if not recording.segments:
        return
    spoken, timed = [turn.tag for turn in turns], [segment.tag for segment in recording.segments]
    if spoken != timed:
        raise RecordingError(
            "bad_segments",
            f"turns are {' '.join(spoken)}, segments {' '.join(timed)}",
            where=recording.id,
        )
    last_s = max(segment.end_s for segment in recording.segments)
    if recording.duration_s is not None and last_s > recording.duration_s + SEGMENTS_TOLERANCE_S:
        raise RecordingError(
            "bad_segments", f"ends at {last_s} s of {recording.duration_s} s", where=recording.id
        )

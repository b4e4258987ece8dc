"""The text of a recording becomes turns: who says what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import regex

from vibesweep.corpus.recordings import DEFAULT_TAG, MAX_SPEAKERS, Recording, Turn
from vibesweep.corpus.rejects import RecordingError
from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath

SEGMENTS_TOLERANCE_S = 0.05  # rounding in hand-made tables

# Inside a line a tag opens a turn only where a sentence has ended: "ask Speaker 1: he knows" is one
# sentence.
_OPENS = r"(?:^|(?<=[.?!…。？！][\"'”’」』)\]）]*)\s*)"
_BRACKETED = r"\[\s*(?P<tag>[\w-]+)\s*\]\s*[:：]?"
_NUMBERED = r"(?i:speaker)[ \t]*(?P<number>[0-9]{1,4}|[A-Za-z])\s*[:：]"
_TAG = regex.compile(rf"{_OPENS}(?:{_BRACKETED}|{_NUMBERED})\s*")
_LISTED_TAGS = 8  # in an error


def read_turns(recording: Recording) -> tuple[Turn, ...]:
    """Read the turns of a recording, from its text file or from the words that the table holds.

    Raises:
        RecordingError: the file is missing, unreadable or empty, or its tags do not fit the row or
            the segments.
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
    """Find turns of ``[SPEAKER_A] words`` or ``Speaker 1: words``, one on a line or several.

    A line without a tag continues the turn before it, or is SPEAKER_A's. ``Speaker 1`` becomes
    ``SPEAKER_1``.
    """
    turns: list[Turn] = []
    for tag, words in _tagged_words(text):
        if tag:
            turns.append(Turn(tag, words))
        elif turns:
            last = turns.pop()
            turns.append(Turn(last.tag, f"{last.text} {words}".strip()))
        else:
            turns.append(Turn(DEFAULT_TAG, words))
    return tuple(turn for turn in turns if turn.text)


def _tagged_words(text: str) -> Iterator[tuple[str, str]]:
    """Yield (tag, words) line by line; the tag is empty where words have none."""
    clean = text.replace("\ufeff", "").replace("\0", "")
    for line in clean.splitlines():
        line = line.strip()
        if line:
            yield from _split_line(line)


def _split_line(line: str) -> Iterator[tuple[str, str]]:
    """Yield (tag, words) of a line; the tag of words before the first tag is empty."""
    tag, start = "", 0
    for match in _TAG.finditer(line):
        words = line[start : match.start()].strip()
        if tag or words:
            yield tag, words
        tag, start = _tag(match), match.end()
    yield tag, line[start:].strip()


def _tag(match: regex.Match[str]) -> str:
    tag = match["tag"] or f"SPEAKER_{match['number']}"
    return str(tag).upper()


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
        one_line = " ".join(str(error).split())
        detail = getattr(error, "strerror", None) or one_line
        raise RecordingError("unreadable_text", detail, where=address) from error


def _check_speakers(recording: Recording, turns: Sequence[Turn], where: str) -> None:
    tags = list(dict.fromkeys(turn.tag for turn in turns))
    expected = recording.num_speakers
    if len(tags) <= MAX_SPEAKERS and expected in (None, len(tags)):
        return
    listed = ", ".join(tags[:_LISTED_TAGS])
    told = "" if expected is None else f", num_speakers is {expected}"
    raise RecordingError(
        "speaker_count",
        f"{len(tags)} in the text ({listed}){told}, limit {MAX_SPEAKERS}",
        where=where,
    )


def _check_segments(recording: Recording, turns: Sequence[Turn]) -> None:
    """Compare the segments, where there are any, with the turns and the duration."""
    if not recording.segments:
        return
    of_turns = [turn.tag for turn in turns]
    of_segments = [segment.tag for segment in recording.segments]
    if of_turns != of_segments:
        raise RecordingError(
            "bad_segments",
            f"turns are {' '.join(of_turns)}, segments {' '.join(of_segments)}",
            where=recording.id,
        )
    duration_s = recording.duration_s
    last_s = max(segment.end_s for segment in recording.segments)
    if duration_s is not None and last_s > duration_s + SEGMENTS_TOLERANCE_S:
        raise RecordingError(
            "bad_segments", f"ends at {last_s} s of {duration_s} s", where=recording.id
        )

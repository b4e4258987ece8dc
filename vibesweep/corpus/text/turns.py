"""The text of a recording becomes turns: who says what."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import regex

from vibesweep.corpus.recordings import DEFAULT_TAG, MAX_SPEAKERS, Recording, Turn
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.text.left_out import sift
from vibesweep.corpus.text.speaker_tags import Found, people_of, tags_in, tags_of_a_dialogue
from vibesweep.corpus.text.tag_forms import Form
from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath
from vibesweep.storage.json_text import parse_json

READING_VERSION = 2
"""Version of the rules by which texts become turns; after a change clips are encoded anew."""
SEGMENTS_TOLERANCE_S = 0.05  # rounding in hand-made tables

_MAY_HOLD_TAGS = regex.compile(r"[\[【［:：]")
_LISTED_TAGS = 8  # in an error or a line


@dataclass(frozen=True)
class ReadText:
    """A text as it was read.

    Attributes:
        turns: who says what.
        people: tags of the people as they are written first, by tag; not of a text without tags.
        left_out: how often each tag of a sound, a time or a footnote was left out.
        unclear: tags that may be a person or something else, and how they were taken.
    """

    turns: tuple[Turn, ...]
    people: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    unclear: tuple[str, ...] = ()

    def summary(self) -> str:
        """Say in one line how tags were read; empty for one person without any other tag."""
        parts = []
        if len(self.people) > 1:
            parts.append(f"{len(self.people)} people: {', '.join(self.people.values())}")
        if self.left_out:
            parts.append(f"left out: {told_counts(self.left_out)}")
        if self.unclear:
            parts.append(f"in doubt: {', '.join(self.unclear)}")
        return "; ".join(parts)

    def warnings(self) -> Iterator[tuple[str, str]]:
        """Yield (reason, detail) of what a corpus's owner should know."""
        if self.left_out:
            yield "left_out_tags", json.dumps(self.left_out, ensure_ascii=False)
        if self.unclear:
            yield "unclear_tags", ", ".join(self.unclear)


def told_counts(left_out: Mapping[str, int]) -> str:
    """List tags with how often they were left out, the most frequent first."""
    ordered = Counter(left_out).most_common()
    listed = [f"{tag} ({count})" for tag, count in ordered[:_LISTED_TAGS]]
    more = len(ordered) - _LISTED_TAGS
    return ", ".join([*listed, f"{more} more"] if more > 0 else listed)


def added_up_left_out(details: Iterable[str]) -> dict[str, int]:
    """Add up the details of warnings of the reason ``left_out_tags``."""
    total: Counter[str] = Counter()
    for detail in details:
        total.update(parse_json(detail))
    return dict(total)


def read_turns(recording: Recording) -> ReadText:
    """Read the turns of a recording, from its text file or from the words that the table holds.

    Raises:
        RecordingError: the file is missing, unreadable or empty, or its tags do not fit the row or
            the segments.
    """
    where = recording.text or recording.id
    text = text_of(recording)
    read = parse_turns(text, _known_people(recording))
    if not read.turns:
        left_out = f", left out: {told_counts(read.left_out)}" if read.left_out else ""
        raise RecordingError("empty_text", f"{len(text)} characters{left_out}", where=where)
    _check_speakers(recording, read.turns, where)
    _check_segments(recording, read.turns)
    return read


def text_of(recording: Recording) -> str:
    """Return what is written of a recording, from the table or its text file.

    Raises:
        RecordingError: the file is missing or unreadable.
    """
    return recording.words if recording.words is not None else _read(recording.text)


def parse_turns(text: str, known: Mapping[str, str] | None = None) -> ReadText:
    """Find turns of ``[SPEAKER_A] words``, ``Speaker 1: words`` or ``Anna: words``.

    They stand one on a line or several. A line without a tag continues the turn before it, or is
    SPEAKER_A's. ``Speaker 1`` becomes ``SPEAKER_1``. Tags of sounds, times and footnotes are left
    out.

    Args:
        text: on any number of lines.
        known: the tag of everybody who is certainly a person, by name in capitals.
    """
    known = known or {}
    lines = _lines(text)
    speakers = set(known) | tags_of_a_dialogue(lines)
    sifted = [sift(line, speakers) for line in lines]
    tags = [tags_in(line.text, speakers) for line in sifted]
    people = people_of(tags, speakers)
    reader = _Reader(known)
    for line, found in zip(sifted, tags, strict=True):
        reader.left_out.update(line.left_out)
        reader.read(line.text, [tag for tag in found if tag.tag in people.tags])
    unclear = [told for line in sifted for told in line.unclear]
    return ReadText(
        turns=reader.spoken(),
        people=reader.people,
        left_out=dict(reader.left_out),
        unclear=tuple(dict.fromkeys([*unclear, *people.unclear])),
    )


def possible_speakers(text: str) -> dict[str, Found]:
    """Find tags that are a person's if they recur over a corpus; each where it stands first."""
    possible: dict[str, Found] = {}
    for line in _lines(text):
        if _MAY_HOLD_TAGS.search(line):
            for found in tags_in(sift(line, ()).text):
                is_certain = found.form in (Form.DIARIZER, Form.ROLE, Form.WORDS)
                if not is_certain and (found.opens_line or not found.is_head):
                    possible.setdefault(found.tag, found)
    return possible


def _lines(text: str) -> list[str]:
    """Return the lines that are not blank, without what no reader sees."""
    clean = text.replace("\ufeff", "").replace("\0", "")
    lines = [line.strip() for line in clean.splitlines()]
    return [line for line in lines if line]


class _Reader:
    """Cuts lines into turns at the tags of people."""

    def __init__(self, known: Mapping[str, str]) -> None:
        self._known = known
        self._turns: list[Turn] = []
        self.people: dict[str, str] = {}
        self.left_out: Counter[str] = Counter()

    def read(self, line: str, tags: Sequence[Found]) -> None:
        """Add a line with its tags of people."""
        first, *ends = [*(tag.start for tag in tags), len(line)]
        self._continue(line[:first].strip())
        for tag, end in zip(tags, ends, strict=True):
            name = self._known.get(tag.tag, tag.tag)
            self.people.setdefault(name, tag.written.strip("[]【】［］<> :"))
            self._turns.append(Turn(name, line[tag.end : end].strip()))
            if tag.manner:
                self.left_out[f"({tag.manner})"] += 1

    def spoken(self) -> tuple[Turn, ...]:
        """Return the turns with something in them, more than signs around a tag left out."""
        turns = [turn for turn in self._turns if turn.text]
        if self.left_out:
            turns = [turn for turn in turns if any(map(str.isalnum, turn.text))]
        return tuple(turns)

    def _continue(self, words: str) -> None:
        """Add words to the last turn, or to that of the one person of a text without tags."""
        if not words:
            return
        last = self._turns.pop() if self._turns else Turn(DEFAULT_TAG, "")
        self._turns.append(Turn(last.tag, f"{last.text} {words}".strip()))


def _known_people(recording: Recording) -> dict[str, str]:
    """Return the tags that the table, segments.json or the whole corpus say are people's.

    A person's own name stands for the tag.
    """
    known = {}
    for tag, person in recording.speakers:
        known[person.upper()] = tag
    for tag, _ in recording.speakers:
        known[tag] = tag
    for segment in recording.segments:
        known[segment.tag] = segment.tag
    for tag in recording.recurring_tags:
        known[tag] = tag
    return known


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

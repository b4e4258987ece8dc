"""Which tags of a text are people: by their form, where they stand, and whether they recur."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import regex

from vibesweep.corpus.text.tag_forms import (
    Form,
    form_of,
    is_diarizer_tag,
    is_name,
    is_small_name,
    tag_of,
    words_of,
)
from vibesweep.corpus.text.tag_words import NO_NAMES, TITLES

LONGEST_HEAD = 40  # characters

# Inside a line a turn opens only where a sentence has ended: "ask Speaker 1: he knows" is one
# sentence.
_OPENING = regex.compile(r"^\s*|[.?!…。？！][\"'”’」』)\]）*]*\s*")
_AFTER_TITLE = regex.compile(rf"(?i:\b(?:{'|'.join(sorted(TITLES))})|\b\p{{Lu}})\.\s*$")
_TITLE_LENGTH = 10  # of the longest title, with the signs around it
_BRACKET = regex.compile(
    r"(?:\[(?P<name>[^\[\]]{1,60})\]|【(?P<name>[^【】]{1,60})】|［(?P<name>[^［］]{1,60})］"
    r"|<(?P<name>[^<>/]{1,60})>)"
    r"(?:\s*\((?P<manner>[^()]{1,40})\)(?=\s*[:：]))?\s*[:：]?\s*"
)
_NAME_WORD = r"[^\s:：()\[\]<>{}\"“”!?…。？！;；,，/*]+"
_HEAD = regex.compile(
    rf"(?P<stars>\*{{0,2}})(?P<name>{_NAME_WORD}(?:[ \t]+{_NAME_WORD}){{0,4}})[ \t]*"
    r"(?:[(（](?P<manner>[^()（）]{1,40})[)）][ \t]*)?"
    r"(?:(?P=stars)[:：]|[:：](?P=stars))(?P<blank>\s*)"
)
_SPEECH = regex.compile(r"[\p{Lu}\p{Lo}\"“”'‘«„¿¡(\[*…—–-]")


@dataclass(frozen=True)
class Found:
    """A tag in a line that may be a speaker's.

    Attributes:
        written: as it stands in the text.
        tag: in capitals.
        form: of its name.
        is_head: whether it is ``Anna:`` and has no brackets.
        start: where it begins.
        end: where the words after it begin.
        manner: what stands in round brackets behind the name.
        opens_line: whether nothing stands before it.
    """

    written: str
    tag: str
    form: Form
    is_head: bool
    start: int
    end: int
    manner: str
    opens_line: bool


@dataclass
class People:
    """Which tags of a text are people's.

    Attributes:
        tags: of those who are.
        unclear: tags that may be something else, and how each was taken.
    """

    tags: set[str] = field(default_factory=set)
    unclear: list[str] = field(default_factory=list)


def tags_in(line: str, speakers: Collection[str] = ()) -> list[Found]:
    """Find the tags of a line that may be speakers', in order.

    Args:
        line: without tags of sounds.
        speakers: tags that are certainly people.
    """
    found: list[Found] = []
    past = 0
    for start, opens in _places(line):
        if start < past:
            continue
        tag = _bracket_at(line, start, opens, speakers)
        if tag is None and opens:
            tag = _head_at(line, start, speakers)
        if tag is not None:
            found.append(tag)
            past = tag.end
    return found


def people_of(lines: Sequence[Sequence[Found]], speakers: Collection[str]) -> People:
    """Decide which of the tags of a text's lines are people.

    Brackets are, unless a name in them is there once: then they are too, and it is told. ``Anna:``
    is where it recurs, or where somebody else is there in the same form.

    Args:
        lines: the tags found in each line.
        speakers: tags that are certainly people.
    """
    every = [found for line in lines for found in line]
    times = Counter(found.tag for found in every)
    people = People()
    heads = [found for found in every if found.is_head]
    for found in every:
        if found.form == Form.DIARIZER or found.tag in speakers or not found.is_head:
            people.tags.add(found.tag)
    first = lines[0][0] if lines and lines[0] and lines[0][0].opens_line else None
    people.tags |= _talking(heads, times, first)
    for found in every:
        told = _told(found, people.tags, times, speakers, is_first=found is first)
        if told and told not in people.unclear:
            people.unclear.append(told)
    return people


def tags_of_a_dialogue(lines: Sequence[str]) -> set[str]:
    """Find numbers and small names in brackets that open the lines of a dialogue.

    ``[1] Hello.`` is a speaker's line where every line begins so, one number recurs, and none
    stands anywhere else; otherwise it is a footnote.
    """
    openings = 0
    tags: Counter[str] = Counter()
    everywhere: Counter[str] = Counter()
    with_colon = set()
    for line in lines:
        for match in _BRACKET.finditer(line):
            tag = tag_of(match["name"])
            everywhere[tag] += 1
            if match.start() > 0:
                continue
            openings += 1
            if form_of(match["name"]) not in (Form.NUMBER, Form.SMALL):
                continue
            tags[tag] += 1
            if match[0].rstrip().endswith((":", "：")):
                with_colon.add(tag)
    every_line = openings == len(lines)
    recurs = len(tags) > 1 and max(tags.values()) > 1
    only_there = all(everywhere[tag] == count for tag, count in tags.items())
    if every_line and recurs and only_there:
        return set(tags)
    return with_colon


def _places(line: str) -> Iterator[tuple[int, bool]]:
    """Yield where a tag may begin, and whether a turn may open there."""
    places = {}
    for bracket in _BRACKET.finditer(line):
        places[bracket.start()] = False
    for match in _OPENING.finditer(line):
        end = match.end()
        if not _AFTER_TITLE.search(line, max(0, end - _TITLE_LENGTH), end):
            places[end] = True
    yield from sorted(places.items())


def _bracket_at(line: str, start: int, opens: bool, speakers: Collection[str]) -> Found | None:
    match = _BRACKET.match(line, start)
    if match is None:
        return None
    form, tag = form_of(match["name"]), tag_of(match["name"])
    in_angles = line[start] == "<"
    is_speaker = form in (Form.LETTER, Form.ROLE, Form.NAME) and not in_angles
    if form == Form.DIARIZER or (opens and (is_speaker or tag in speakers)):
        return _found(match, form, is_head=False)
    return None


def _head_at(line: str, start: int, speakers: Collection[str]) -> Found | None:
    match = _HEAD.match(line, start)
    if match is None or len(match["name"]) > LONGEST_HEAD:
        return None
    form = _form_of_head(match["name"], tag_of(match["name"]) in speakers)
    if form is None or (form != Form.DIARIZER and not _begins_speech(line, match)):
        return None
    return _found(match, form, is_head=True)


def _form_of_head(name: str, is_known: bool) -> Form | None:
    """Tell what stands before a colon; None for what is certainly no speaker."""
    if is_diarizer_tag(name):
        return Form.DIARIZER
    if is_known or is_name(name):
        return Form.NAME
    if is_small_name(name):
        return Form.SMALL
    words = words_of(name)
    is_listed = len(words) == 1 and words[0].lower() in NO_NAMES
    return Form.WORDS if is_listed else None


def _begins_speech(line: str, match: regex.Match[str]) -> bool:
    """Whether words follow a colon: not a time of day, an address or a name with colons."""
    if match["blank"] or match.end() == len(line) or "：" in match[0]:
        return True
    return _SPEECH.match(line, match.end()) is not None


def _found(match: regex.Match[str], form: Form, is_head: bool) -> Found:
    name = match["name"].strip()
    written = f"{name}:" if is_head else match[0].rstrip(" :：\t")
    return Found(
        written=written,
        tag=tag_of(name),
        form=form,
        is_head=is_head,
        start=match.start(),
        end=match.end(),
        manner=match["manner"] or "",
        opens_line=not match.string[: match.start()].strip(),
    )


def _talking(heads: Sequence[Found], times: Counter[str], first: Found | None) -> set[str]:
    """Find who talks among names with a colon: all of them where one recurs or two begin."""
    names = {found.tag for found in heads if found.form == Form.NAME}
    repeated = [found for found in heads if times[found.tag] > 1]
    small = {found.tag for found in repeated if found.form == Form.SMALL}
    recurring = names & {found.tag for found in repeated if found.opens_line}
    begins = first is not None and first.tag in names and len(names) > 1
    if recurring or begins:
        return names | small
    return small if len(small) > 1 else set()


def _told(
    found: Found,
    people: Collection[str],
    times: Counter[str],
    speakers: Collection[str],
    is_first: bool,
) -> str:
    """Say how a tag in doubt was taken; empty where there is no doubt."""
    if found.form == Form.DIARIZER or found.tag in speakers:
        return ""
    is_name = found.form == Form.NAME
    is_once = times[found.tag] == 1
    if found.tag in people:
        if is_name and is_once:
            return f"{found.written} taken for a person"
        return ""
    if not is_once or (is_first and is_name):
        return f"{found.written} read as words"
    return ""

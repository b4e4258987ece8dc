"""Tags of sounds, times and footnotes are taken out of a text, and counted.

In square brackets stands hardly anything that is spoken, so they are kept only where they look like
a speaker or an editor's words. Round brackets and asterisks hold spoken words too, and are kept
unless they name a known sound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field

import regex

from vibesweep.corpus.text.tag_forms import Form, form_of, is_pure_sound, tag_of
from vibesweep.corpus.text.tag_words import COUNTED_THINGS, SOUNDS, VOICE

_MARK = regex.compile(
    r"\[(?P<square>[^\[\]\n]{1,120})\]|【(?P<square>[^【】\n]{1,120})】|［(?P<square>[^［］\n]{1,120})］"
    r"|<(?P<angle>/?\p{L}[^<>\n]{0,120})>"
    r"|\((?P<soft>[^()\n]{1,80})\)|（(?P<soft>[^（）\n]{1,80})）|\{(?P<soft>[^{}\n]{1,80})\}"
    r"|(?<![\w*])\*{1,2}(?P<soft>\p{L}[^*\n]{0,80})\*{1,2}(?![\w*])"
)
_SPEAKER_FORMS = (Form.DIARIZER, Form.LETTER, Form.ROLE, Form.NAME)
_ADDRESS = regex.compile(r"@|://|^\|")
_LETTERS_ONLY = regex.compile(r"[\p{L}\p{M}]+")
_LAST_WORD = regex.compile(r"(\p{L}+)\.?\s*$")
_CLOCK = regex.compile(r"\s*[0-9]+(?::[0-9]{2})+(?:[.,][0-9]+)?\s*")
_SENTENCE_END = regex.compile(r"[.?!…。？！:：][\"'”’」』)\]）*]*$")
_COLON = regex.compile(r"\s*[:：]")
_NO_BLANK_BEFORE = regex.compile(r"[\p{Pe}\p{Pf},;:.!?…，。；：、！？%]")
_NO_BLANK_AFTER = regex.compile(r"[\p{Ps}\p{Pi}¿¡]")
_WITHOUT_BLANKS = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}。，！？、]")


@dataclass
class Sifted:
    """A line without what is not spoken.

    Attributes:
        text: what remains, speakers' tags among it.
        left_out: how often each tag was left out, as it is written.
        unclear: tags that were kept as words and may be no words.
    """

    text: str = ""
    left_out: Counter[str] = field(default_factory=Counter)
    unclear: list[str] = field(default_factory=list)


def sift(line: str, speakers: Container[str]) -> Sifted:
    """Take the tags of sounds, times and footnotes out of a line.

    Args:
        line: without a line break.
        speakers: tags that are certainly people.
    """
    sifted = Sifted()
    past = 0
    after_gap = False
    for mark in _MARK.finditer(line):
        kept = _kept(mark, line, speakers, sifted)
        words = line[past : mark.start()] + (kept or "")
        sifted.text = _joined(sifted.text, words, after_gap)
        past = mark.end()
        after_gap = kept is None
        if after_gap:
            sifted.left_out[mark[0]] += 1
            past = _past_colon(line, past, sifted.text)
    sifted.text = _joined(sifted.text, line[past:], after_gap).strip()
    return sifted


def _kept(
    mark: regex.Match[str], line: str, speakers: Container[str], sifted: Sifted
) -> str | None:
    """Return what stays of a mark; None if it is left out."""
    if mark["soft"] is not None:
        return None if _is_left_out(mark["soft"], mark, line) else mark[0]
    content = mark["square"] or mark["angle"]
    if tag_of(content) in speakers:
        return str(mark[0])
    if mark["angle"]:
        return mark[0] if _ADDRESS.search(content) else None
    return _kept_of_square(content, mark, line, sifted)


def _is_left_out(content: str, mark: regex.Match[str], line: str) -> bool:
    """Whether round brackets, braces or asterisks hold a sound, or a time that opens a line."""
    before = line[: mark.start()].strip()
    without_time = _CLOCK.sub(" ", content).strip()
    if not without_time:
        return not before
    stands_alone = not before or _SENTENCE_END.search(before) is not None
    # "I love *music*" and "his hobby (music)" are words of their sentences
    has_other_words = mark[0].startswith("*") or not stands_alone
    return is_pure_sound(without_time, VOICE if has_other_words else SOUNDS)


def _kept_of_square(content: str, mark: regex.Match[str], line: str, sifted: Sifted) -> str | None:
    form = form_of(content)
    before, after = line[: mark.start()], line[mark.end() :]
    if form in (Form.SOUND, Form.TIME):
        return None
    if form == Form.NUMBER:
        return str(mark[0]) if _is_counted(before) else None
    if form != Form.DIARIZER and _is_part_of_a_word(content, before, after):
        return content
    if form in _SPEAKER_FORMS:
        return str(mark[0])
    if form == Form.WORDS:
        sifted.unclear.append(f"{mark[0]} read as words")
        return content
    return None


def _is_counted(before: str) -> bool:
    """Whether a number in brackets belongs to the word before it, as in item [3]."""
    word = _LAST_WORD.search(before)
    return word is not None and before[-1:].isspace() and word[1].lower() in COUNTED_THINGS


def _is_part_of_a_word(content: str, before: str, after: str) -> bool:
    """Whether an editor has put letters into a word: [T]he, walk[ed]."""
    if not _LETTERS_ONLY.fullmatch(content):
        return False
    return before[-1:].isalpha() or after[:1].islower()


def _past_colon(line: str, past: int, before: str) -> int:
    """Return where a line goes on after a tag that opened it, with or without a colon."""
    colon = _COLON.match(line, past)
    return past if before.strip() or colon is None else colon.end()


def _joined(text: str, more: str, after_gap: bool) -> str:
    """Put text together, with a blank where a tag was between words."""
    if not after_gap:
        return text + more
    left, right = text.rstrip(), more.lstrip()
    if not left:
        return right
    if not right:
        return f"{left} "
    last = left[-1]
    touching = _NO_BLANK_BEFORE.match(right) or _NO_BLANK_AFTER.match(last)
    without_blanks = _WITHOUT_BLANKS.match(last) and _WITHOUT_BLANKS.match(right)
    if touching or without_blanks:
        return left + right
    return f"{left} {right}"

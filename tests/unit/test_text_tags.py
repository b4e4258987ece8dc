"""Tags in a text are people, sounds or words, and whatever they are nothing is lost."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.encoders import MEL_ENCODER
from vibesweep.corpus.preprocess.fingerprints import fingerprint_all
from vibesweep.corpus.preprocess.recurring_tags import with_recurring_tags
from vibesweep.corpus.recordings import Recording, Segment
from vibesweep.corpus.text.left_out import sift
from vibesweep.corpus.text.turns import added_up_left_out, parse_turns, read_turns
from vibesweep.storage import StoragePath

A = "SPEAKER_A"


def pairs(text: str) -> list[tuple[str, str]]:
    return [(turn.tag, turn.text) for turn in parse_turns(text).turns]


@pytest.mark.parametrize(
    "tag",
    [
        "[laughs]",
        "[chuckles softly]",
        "[Door slams]",
        "[glass-shatters]",
        "[Applause from the audience]",
        "[Bo laughs]",
        "[Music]",
        "[BLANK_AUDIO]",
        "[inaudible 00:31]",
        "[speaking French]",
        "[kerplunk]",
        "[lacht]",
        "[риу смех]",
        "【笑】",
        "[...]",
        "[12]",
        "[3, 4]",
        "[00:12]",
        "[01:02:03.500 --> 01:02:05.000]",
        "(laughter)",
        "(she sighs)",
        "(soft music)",
        "<breath>",
        '<break time="500ms"/>',
        "*coughs*",
        "**clears throat**",
        "{sniffs}",
    ],
)
@pytest.mark.parametrize("text", ["We left. {} It rained.", "{} It rained.", "We left. {}"])
def test_a_sound_is_left_out_and_counted(tag: str, text: str) -> None:
    read = parse_turns(text.replace("{}", tag))
    words = " ".join(text.replace("{}", "").split())
    assert [(turn.tag, turn.text) for turn in read.turns] == [(A, words)]
    assert read.left_out == {tag: 1}
    assert read.people == {}
    assert read.unclear == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It was built in 1820.[1] It leans.[2]", "It was built in 1820. It leans."),
        ("The study [12], it says, [laughs] is old [3].", "The study, it says, is old."),
        ("你好[笑]世界。", "你好世界。"),
        ("[T]he roof and walk[ed] home.", "The roof and walked home."),
        ("He said [that] it was.", "He said that it was."),
        ("See item [3] of it.", "See item [3] of it."),
        ("Art (music, dance) and I *love* (rain) *music*.", None),
        ("a < b and c > d, <ann@example.org>", None),
        ("We met at 10:30 today: rain.", None),
        ("Note: this is it.", None),
        ("He said: go. She met Dr. Smith: he was kind.", None),
        ("See https://example.org/a: fine.", None),
        ("他说：去吧。", None),
        ("It fell. Rome: a city. Matthew 5:3 and Re:Zero.", None),
        ("Question: who? \nQuestion: why?", "Question: who? Question: why?"),
    ],
)
def test_words_stay_words(text: str, words: str | None) -> None:
    assert pairs(text) == [(A, words or text)]


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        ("SPEAKER_00: Hi.", [("SPEAKER_00", "Hi.")]),
        ("spk_1: Hi.\nspk_2: Ho.", [("SPK_1", "Hi."), ("SPK_2", "Ho.")]),
        ("S1: Hi. S2: Ho.", [("S1", "Hi."), ("S2", "Ho.")]),
        ("[Speaker 1] Hi [speaker-2] ho", [("SPEAKER_1", "Hi"), ("SPEAKER_2", "ho")]),
        ("[A] Hi. [B] Ho.", [("A", "Hi."), ("B", "Ho.")]),
        ("[anna] a\n[bo] b\n[anna] c", [("ANNA", "a"), ("BO", "b"), ("ANNA", "c")]),
        ("[1] Hi.\n[2] Ho.\n[1] Well.", [("1", "Hi."), ("2", "Ho."), ("1", "Well.")]),
        ("Anna: a\nBo: b\nanna: c", [("ANNA", "a"), ("BO", "b"), ("ANNA", "c")]),
        ("Anna: Hi. Bo: Ho. Anna: Well.", [("ANNA", "Hi."), ("BO", "Ho."), ("ANNA", "Well.")]),
        ("Dr. Smith: Hi.\nMs Lee: Ho.\nDr. Smith: Well.", None),
        ("**Anna:** Hi.\n**Bo**: Ho.\n**Anna:** Well.", None),
        ("Anna [00:01]: Hi.\n[00:03] Bo: Ho.\nAnna: Well.", None),
        ("小明：你好。\n小红：好！\n小明：再见。", None),
        ("ANNA (on the phone): Hi.\nBO (V.O.): Ho.\nANNA: Well.", None),
    ],
)
def test_people_are_people(text: str, turns: list[tuple[str, str]] | None) -> None:
    found = pairs(text)
    if turns is not None:
        assert found == turns
    else:
        first, second, third = (tag for tag, _ in found)
        assert first == third != second
        assert not any(regex.search(r"[:：*\[(]", words) for _, words in found)


def test_what_stands_beside_a_name_is_counted() -> None:
    read = parse_turns("ANNA (on the phone): Hi.\nANNA (whispering): Ho.")
    assert read.left_out == {"(on the phone)": 1, "(whispering)": 1}
    assert read.people == {"ANNA": "ANNA"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[Rex] He left.", "[Rex] taken for a person"),
        ("Anna: Hello there.", "Anna: read as words"),
        ("Anna: Hi.\nBo: Ho.", "Bo: taken for a person"),
        ("He said [that] it was.", "[that] read as words"),
        ("Rule: never.\nRule: always.", "Rule: read as words"),
    ],
)
def test_what_is_in_doubt_is_told(text: str, told: str) -> None:
    read = parse_turns(text)
    assert told in read.unclear
    assert told in read.summary()
    assert any(reason == "unclear_tags" and told in detail for reason, detail in read.warnings())


def test_a_script_is_summed_up_in_one_line() -> None:
    read = parse_turns("Anna: Hi. [laughs]\nBo: Ho. [laughs]\nAnna: Well.\nBo: Yes.")
    assert read.summary() == "2 people: Anna, Bo; left out: [laughs] (2)"
    assert parse_turns("Plain words.").summary() == ""
    details = [detail for reason, detail in read.warnings() if reason == "left_out_tags"]
    assert added_up_left_out(details * 3) == {"[laughs]": 6}


def test_the_table_says_who_is_a_person() -> None:
    segments = (Segment("THUNDER", 0, 1),)
    named = Recording("a", "a.wav", words="Anna: Hi.", speakers=(("SPEAKER_A", "Anna"),))
    timed = Recording("a", "a.wav", words="[Thunder] Hi.", segments=segments)
    assert [turn.tag for turn in read_turns(named).turns] == ["SPEAKER_A"]
    assert [turn.tag for turn in read_turns(timed).turns] == ["THUNDER"]


def rows(*texts: str) -> list[Recording]:
    return [Recording(f"{i}", f"{i}.wav", words=text) for i, text in enumerate(texts)]


def test_a_name_that_recurs_over_the_corpus_is_a_person(tmp_path: Path) -> None:
    file = tmp_path / "b.txt"
    file.write_text("Anna: From a file.")
    recordings = [
        *rows("Anna: Hello.", "Bo: Good day.", "Bo: Well.", "Note: rain.", "Note: snow."),
        Recording("file", "f.wav", text=str(file)),
        Recording("lost", "l.wav", text=str(tmp_path / "none.txt")),
    ]
    noted = with_recurring_tags(recordings)
    tags = [one.recurring_tags for one in noted]
    assert tags == [("ANNA",), ("BO",), ("BO",), (), (), ("ANNA",), ()]
    said = [read_turns(one).turns[0] for one in noted[:6]]
    assert [turn.tag for turn in said] == ["ANNA", "BO", "BO", A, A, "ANNA"]
    assert [turn.text for turn in said[3:5]] == ["Note: rain.", "Note: snow."]
    assert not any(read_turns(one).unclear for one in noted[:6])


def test_a_word_that_opens_few_texts_of_many_is_none() -> None:
    prose = [f"It rained on day {i}." for i in range(38)]
    noted = with_recurring_tags(rows("London: rain.", "London: sun.", *prose))
    assert all(one.recurring_tags == () for one in noted)


def test_who_recurs_is_part_of_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "0.wav").touch()
    sound = str(tmp_path / "0.wav")
    one, other = (
        dataclasses.replace(row, audio=sound) for row in rows("Anna: Hello.", "Anna: Bye.")
    )
    place = StoragePath.of(tmp_path)
    (alone,) = fingerprint_all([one], place, 300.0, MEL_ENCODER.fingerprint).planned
    beside = fingerprint_all([one, other], place, 300.0, MEL_ENCODER.fingerprint).planned[0]
    assert beside.recording.recurring_tags
    assert beside.fingerprint != alone.fingerprint


TAGS = st.sampled_from(
    """[laughs] [Rex] [door-slam] [1] [00:12] (laughter) (music, dance) <breath> *coughs* [that]
    [A] [Speaker_1] Anna: Bo: SPEAKER_00: S1: Note: anna: [T]he walk[ed] [He_left] {lip} （笑）
    **Cy:** Dr. Smith: [Bell] [bell] [[x]] Anna(whispers): : [ ] ( ) * <""".split()
)
PROSE = "it rained. We 你好。 naïve Why? no, ß 12 10:30 \n \n ... “Yes.”"
WORDS = st.sampled_from(PROSE.split(" "))


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(TAGS | WORDS, max_size=14))
def test_every_word_is_spoken_or_left_out_or_a_person(parts: list[str]) -> None:
    text = " ".join(parts).replace("_", " ")
    read = parse_turns(text)
    said = [turn.text for turn in read.turns]
    kept = " ".join([*said, *read.left_out, *read.people, *read.people.values()]).casefold()
    for word in regex.findall(r"\p{L}+", text):
        assert word.casefold() in kept


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(alphabet="ab. [](){}*<>:1é\t", max_size=50))
def test_a_line_without_letters_lost_stays_in_order(line: str) -> None:
    sifted = sift(line, ())
    letters = regex.findall(r"\p{L}", line)
    left_out = "".join(tag * count for tag, count in sifted.left_out.items())
    found = regex.findall(r"\p{L}", sifted.text + left_out)
    assert sorted(letters) == sorted(found)

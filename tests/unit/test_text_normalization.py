"""Numbers, signs and abbreviations become words, in both languages; what the grammars refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibesweep.corpus.text import normalization
from vibesweep.corpus.text.normalization import NormalizedText, normalize


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "In 1984 WWII vets (aged 60+) met at 5th Ave.",
            "In nineteen eighty four WWII vets (aged sixty plus) met at fifth Avenue.",
        ),
        ("the 1,234 people", "the one thousand two hundred and thirty four people"),
        (
            "1,234,567 km",
            "one million two hundred thirty four thousand five hundred and sixty seven kilometers",
        ),
        ("$1,234.50", "one thousand two hundred and thirty four dollars and fifty cents"),
        ("It costs $5.50.", "It costs five dollars and fifty cents."),
        ("$5.5 million, 5€", "five point five million dollars, five euros"),
        ("1000 or $1000", "one thousand or one thousand dollars"),
        ("50% of 3.5 km", "fifty percent of three point five kilometers"),
        ("No. 7 and #8", "number seven and number eight"),
        ("at 5:30 p.m. today", "at five thirty PM today"),
        ("It was 5 p.m. He left.", "It was five PM. He left."),
        ("May 3, 2019", "May third, twenty nineteen"),
        ("Jan. 5", "the fifth of january"),
        ("2019-05-03", "the third of may twenty nineteen"),
        ("in 1905 and the 1990s", "in nineteen oh five and the nineteen nineties"),
        ("the ’90s", "the nineties"),
        ("the 1st, 22nd and 3rd", "the first, twenty second and third"),
        ("pages 10-15, 1990–1995", "pages ten to fifteen, nineteen ninety to nineteen ninety five"),
        ("$5-10", "five to ten dollars"),
        ("555-1234", "five five five one two three four"),
        ("100m, 5 m², 20°C", "one hundred meters, five square meters, twenty degrees Celsius"),
        ("2½ cups", "two and a half cups"),
        ("v2.0.1", "v two point zero point one"),
        ('He said "5 cats" [6].', 'He said "five cats" [six].'),
        (
            "i.e. this, e.g. that, etc. and more, etc.",
            "that is this, for example that, et cetera and more, et cetera.",
        ),
        ("Mr. Hyde vs. Prof. Moriarty", "Mr Hyde versus Professor Moriarty"),
        ("in St. Louis on Baker St.", "in Saint Louis on Baker Street."),
        (
            "http://www.example.com/a?b=c.",
            "HTTP colon slash slash WWW dot example dot com slash a question mark b equals c.",
        ),
        ("me@example.com", "me at example dot com"),
        ("１２ cats, ٣ dogs", "twelve cats, three dogs"),
        ("5 🙂 6", "five 🙂 six"),
        ("Nothing here — “to” spell!", "Nothing here — “to” spell!"),
    ],
)
def test_english(text: str, words: str) -> None:
    assert normalize(text) == NormalizedText(words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("我有12个苹果。", "我有十二个苹果。"),
        ("我有 12 个苹果", "我有十二个苹果"),
        ("１２个", "十二个"),
        ("共￥1,234.50元", "共一千二百三十四点五零元"),
        ("2024年5月3日12:30", "二零二四年五月三日十二点三十分"),
        ("涨了12.5，即5%-10%", "涨了十二点五,即百分之五到百分之十"),
        ("第2天去了2次", "第二天去了两次"),
        ("2020-2024年，3-5个", "二零二零年到二零二四年,三到五个"),
        ("电话010-12345678", "电话零一零一二三四五六七八"),
        ("今天20℃，我跑了5km", "今天二十摄氏度,我跑了五公里"),
        ("3, 4个人", "三, 四个人"),
        ("iPhone 15 卖了1000台", "iPhone fifteen 卖了一千台"),
        ("3 apples, 我吃了2个", "three apples, 我吃了两个"),
        ("我买了iPhone 15。5G很快", "我买了iPhone fifteen。五G很快"),
        ("你好吗？", "你好吗?"),
    ],
)
def test_mandarin_numbers_go_with_the_letters_around_them(text: str, words: str) -> None:
    assert normalize(text) == NormalizedText(words)


def test_other_languages_keep_their_numbers_and_mandarin_is_normalized_all_the_same() -> None:
    assert normalize("Am 3. Mai 2019", "de") == NormalizedText("Am 3. Mai 2019")
    assert normalize("Er sagte 5, 我有12个", "de") == NormalizedText("Er sagte 5, 我有十二个")


def test_what_the_grammar_refuses_is_counted_and_left_and_the_rest_is_normalized() -> None:
    assert normalize("12 cats, %5 and 3 dogs") == NormalizedText(
        "twelve cats, %5 and three dogs", failed=1
    )


def test_the_grammar_is_not_asked_for_prose_or_for_a_number_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def grammar(lang: str) -> Callable[[str], str]:
        def normalize(text: str) -> str:
            asked.append(text)
            return "words"

        return normalize

    monkeypatch.setattr(normalization, "_grammar", grammar)
    normalization._ask_grammar.cache_clear()
    normalize(
        "A long sentence, in plain words. Mr. Smith said so. " * 5 + "It was 98765 then, 98765 now."
    )
    normalization._ask_grammar.cache_clear()
    assert asked == ["98765"]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(alphabet="0123456789.,:/-%$€'\"()[]{}\\+²°abkm我年点 \n", max_size=12))
def test_no_text_crashes(text: str) -> None:
    normalize(text)

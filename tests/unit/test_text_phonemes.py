"""Words become symbols in both languages, and symbols become ids."""

from __future__ import annotations

import json
import random

import pytest

from vibesweep.corpus.text import phoneme_table, phonemes
from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.corpus.text.phonemes import check_language, phonemize
from vibesweep.errors import CorpusError, ModelError


def symbols(text: str) -> tuple[str, ...]:
    return phonemize([text])[0].symbols


@pytest.mark.parametrize(
    ("text", "ipa"),
    [
        ("Hello, world!", "həlˈoʊ, wˈɜːld!"),
        ("the ship", "ðə ʃˈɪp"),
        ("Yes; no: why?", "jˈɛs; nˈoʊ: wˈaɪ?"),
        ("“Yes!” (no)…", "jˈɛs! nˈoʊ."),
        ("Mr. Smith", "mˈɪstɚ smˈɪθ"),
        ("3.5", "θɹˈiː pˈɔɪnt fˈaɪv"),
        ("?! yes", "jˈɛs"),
        ("", ""),
    ],
)
def test_english_is_ipa_with_pauses_and_word_boundaries(text: str, ipa: str) -> None:
    found = phonemize([text])[0]
    assert "".join(found.symbols) == ipa
    assert found.language == "en"
    assert all(len(symbol) == 1 for symbol in found.symbols)


def test_mandarin_is_initial_final_and_tone() -> None:
    found = phonemize(["中国，你好！"])[0]
    assert found.language == "zh"
    assert " ".join(found.symbols).split() == (
        "zh:zh zh:ong zh:1 zh:g zh:uo zh:2 , zh:n zh:i zh:3 zh:h zh:ao zh:3 !".split()
    )


def test_mandarin_keeps_four_tones_and_the_neutral_one() -> None:
    assert [symbols(char)[-1] for char in "妈麻马骂吗"] == ["zh:1", "zh:2", "zh:3", "zh:4", "zh:5"]
    assert len({symbols(char)[:-1] for char in "妈麻马骂吗"}) == 1


def test_a_syllable_without_a_vowel_is_not_lost() -> None:
    assert symbols("嗯") == ("zh:en", "zh:2")


def test_latin_words_in_mandarin_are_read_as_english() -> None:
    found = phonemize(["我买 phone 了"])[0]
    assert found.language == "zh"
    assert "fˈoʊn" in "".join(found.symbols)
    assert found.unknown == {}


def test_no_mandarin_symbol_is_an_ipa_character() -> None:
    english, mandarin = (
        set(symbols("She measured the azure beach.")),
        set(symbols("儿子去银行吃饭。")),
    )
    assert english & mandarin <= {" ", *phonemes.PAUSES}


def test_what_cannot_be_said_is_counted_by_name() -> None:
    found = phonemize(["Hi 😀😀 Я there 𠮷"])[0]
    assert found.unknown == {
        "GRINNING FACE": 2,
        "CYRILLIC CAPITAL LETTER YA": 1,
        "CJK UNIFIED IDEOGRAPH-20BB7": 1,
    }
    assert found.symbols == symbols("Hi there")


def test_answers_do_not_depend_on_what_else_is_asked() -> None:
    texts = ["Hello there.", "", "你好。", "...", "What is it, then?", "Hello there."]
    assert phonemize(texts) == [phonemize([text])[0] for text in texts]


@pytest.mark.parametrize(
    "language", ["en-us", "de", "ru", "es"]
)  # fr-fr and el are not steady: docs/design/corpus.md
def test_answers_do_not_depend_on_what_was_said_before(language: str) -> None:
    # In a voice of another language eSpeak chooses between readings of "live" and "house" by what
    # it last said in English
    texts = [
        "They live here.",
        "the lives of",
        "He wants to",
        "to house",
        "the house",
        "I will",
        "Déjà vu, my computer.",
        "На 5, 我有3个!",
    ]
    alone = {text: phonemize([text], language)[0] for text in texts}
    for seed in range(6):
        random.Random(seed).shuffle(texts)
        assert [phonemize([text], language)[0] for text in texts] == [alone[text] for text in texts]
        assert phonemize(texts, language) == [alone[text] for text in texts]


@pytest.mark.parametrize(
    ("language", "text", "ipa", "code"),
    [
        ("de", "Guten Tag, 25 Äpfel!", "ɡˈuːtən tˈɑːk, fˈʏnf ʊnttsvˈantsɪç ˈɛpfəl!", "de"),
        ("ru", "Да? Нет.", "dˈɑ? nʲˈet.", "ru"),
        ("es", "¿Qué? ¡Sí!", "kˈe? sˈi!", "es"),
        ("en-gb", "5 cars", "fˈaɪv kˈɑːz", "en"),
    ],
)
def test_other_languages_are_read_by_their_voice(
    language: str, text: str, ipa: str, code: str
) -> None:
    found = phonemize([text], language)[0]
    assert ("".join(found.symbols), found.language, found.unknown) == (ipa, code, {})


def test_han_characters_are_mandarin_in_any_language() -> None:
    found = phonemize(["Wir sagen 你好"], "de")[0]
    assert found.language == "zh"
    assert found.symbols[-6:] == symbols("你好")


@pytest.mark.parametrize(
    ("language", "advice"),
    [
        ("fr", "fr-fr"),
        ("zh", "Mandarin"),
        ("EN-US", "en-us"),
        ("xx", "espeak-ng --voices"),
        ("", ""),
    ],
)
def test_an_unknown_language_is_refused_with_advice(language: str, advice: str) -> None:
    with pytest.raises(CorpusError, match="no language") as caught:
        check_language(language)
    assert advice in caught.value.fix
    with pytest.raises(CorpusError):
        phonemize(["Hi"], language)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("It costs $5.50, at 5 p.m.", "It costs five dollars and fifty cents, at five PM."),
        ("In 1984, 50% left.", "In nineteen eighty four, fifty percent left."),
        ("共￥1,234.50元。", "共一千二百三十四点五零元。"),
        ("iPhone 15 卖了1000台", "iPhone fifteen 卖了一千台"),
        ("１２ cats", "twelve cats"),
        ("Mr.\u200b Hyde\u00ads\ufeff", "Mr. Hydes"),
        ("See example.com.", "See example dot com."),
    ],
)
def test_text_is_normalized_first(text: str, same: str) -> None:
    assert phonemize([text])[0] == phonemize([same])[0]


def test_what_could_not_be_normalized_is_counted_and_read_by_espeak() -> None:
    found = phonemize(["%5, and 6"])[0]
    assert found.not_normalised == 1
    assert "fˈaɪv" in "".join(found.symbols)


def test_arabic_letters_are_unknown_in_english_and_read_in_arabic() -> None:
    assert phonemize(["yes لا"])[0].unknown == {"ARABIC LETTER LAM": 1, "ARABIC LETTER ALEF": 1}
    found = phonemize(["لا، نعم؟"], "ar")[0]
    assert found.unknown == {}
    assert [symbol for symbol in found.symbols if symbol in phonemes.PAUSES] == [",", "?"]


def test_ids_of_the_specials_do_not_move() -> None:
    assert (
        0,
        phoneme_table.BOS,
        phoneme_table.SPEECH,
        phoneme_table.PATCH,
        phoneme_table.SPEAKER_0,
    ) == (0, 1, 2, 3, 4)
    assert phoneme_table.SPECIALS[phoneme_table.SPEAKER_0 :] == (
        "<spk0>",
        "<spk1>",
        "<spk2>",
        "<spk3>",
    )


def test_a_table_gives_each_symbol_an_id_after_the_specials() -> None:
    table = PhonemeTable.fit([["b", "a"], ["c", "a"]])
    assert table.encode(["a", "b", "c"]) == [8, 9, 10]
    assert table.decode([8, 4, 10]) == ["a", "<spk0>", "c"]
    assert len(table) == 11
    assert table == PhonemeTable.fit([["c"], ["a", "b"]])


def test_a_table_names_the_symbols_it_has_not() -> None:
    table = PhonemeTable.fit([["a"]])
    assert table.missing(["a", "x", "x"]) == {"x": 2}
    with pytest.raises(ModelError, match=r"'x' \(2\), 'y' \(1\)"):
        table.encode(["x", "y", "a", "x"])


def test_a_table_goes_through_json() -> None:
    table = PhonemeTable.fit([symbols("Hello, 你好")])
    assert PhonemeTable.from_json(json.loads(json.dumps(table.to_json()))) == table


@pytest.mark.parametrize(
    "change", [{"symbols": ["a", "a"]}, {"symbols": "ab"}, {"specials": ["<pad>"]}]
)
def test_a_foreign_table_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ModelError):
        PhonemeTable.from_json({**PhonemeTable.fit([["a"]]).to_json(), **change})

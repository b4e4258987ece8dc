"""Words with signs inside reach eSpeak whole, and what it answers is IPA and nothing else."""

from __future__ import annotations

import unicodedata

import pytest

from vibesweep.corpus.text.espeak import decimal_sign, pronounce, says_sign
from vibesweep.corpus.text.ipa import ipa_characters
from vibesweep.corpus.text.language_advice import why_silent
from vibesweep.corpus.text.letters import signs_inside_words
from vibesweep.corpus.text.phonemes import PAUSES, Phonemes, phonemize

IPA_SIGNS = set("ˈˌː˥˦˧˨˩ ") | PAUSES


def said(text: str, language: str) -> str:
    found: Phonemes = phonemize([text], language)[0]
    assert found.unknown == {}
    return "".join(found.symbols)


def espeak_says(text: str, language: str) -> str:
    return "".join(pronounce([text], language)[0])


@pytest.mark.parametrize(
    ("language", "word", "cut"),
    [
        ("fa", "می\u200cروم", "می روم"),  # zero-width non-joiner
        ("ca", "pel·lícula", "pel lícula"),
        ("ca", "coŀlegi", "col legi"),
        ("uz", "oʻrmon", "o rmon"),  # okina
        ("haw", "Kauaʻi", "Kaua ʻi"),
        ("gn", "g̃uyra", "g uyra"),  # a combining tilde, which no letter is composed with
        ("ml", "അവര്\u200d", "അ വര്"),  # an old chillu: a virama and a joiner
        ("ml", "അവർ", "അ വർ"),
        ("hi", "क्षमा", "क् षमा"),
        ("ta", "லக்ஷ்மி", "லக் ஷ்மி"),
        ("uk", "об'єкт", "об єкт"),
        ("uk", "об’єкт", "об єкт"),
        ("fr-fr", "l'étudiant·e", "l étudiant e"),
        ("he", "ג׳ירפה", "ג ירפה"),
        ("de", "Zwölf-Ender", "Zwölf Ender"),
    ],
)
def test_a_sign_inside_a_word_goes_to_espeak_with_it(language: str, word: str, cut: str) -> None:
    assert said(word, language) == espeak_says(word, language)
    assert said(f"{word}, {word}.", language) == f"{said(word, language)}, {said(word, language)}."
    assert said(word, language) != said(cut, language)


@pytest.mark.parametrize(
    ("language", "word", "same"),
    [
        ("vi", unicodedata.normalize("NFD", "Việt"), "Việt"),
        ("de", "Fluß\u00adufer", "Flußufer"),  # soft hyphen
        ("ar", "كتـــاب", "كتاب"),  # stretched
        ("he", "תל־אביב", "תל-אביב"),  # maqaf, which eSpeak would name
        ("he", 'דו"ח', "דו״ח"),
        ("uz", "sunʼiy", "sun'iy"),  # a modifier letter, which eSpeak would name
        ("ca", "col.legi", "col·legi"),
        ("en-us", "Oʻahu", "O'ahu"),
        ("ja", "アダム・スミス", "アダム スミス"),
    ],
)
def test_ways_of_writing_a_word_are_read_alike(language: str, word: str, same: str) -> None:
    assert said(word, language) == espeak_says(same, language)


def test_signs_belong_to_a_word_only_where_they_stand_in_one() -> None:
    assert signs_inside_words("a · b ʻ c", "ca") == {}
    assert signs_inside_words("l·l", "ca") == {1: "·"}
    assert signs_inside_words("plain words", "ca") == {}
    assert phonemize(["\u0303 a"], "gn")[0].unknown == {"COMBINING TILDE": 1}


@pytest.mark.parametrize(
    ("language", "text", "pauses"),
    [
        ("am", "ሰላም። ሰላም፣ ሰላም", ".,"),
        ("ur", "ہے۔ ہے", "."),
        ("hy", "ես։ ես", "."),
        ("hi", "है॥ है", "."),
    ],
)
def test_pauses_of_other_scripts_are_pauses(language: str, text: str, pauses: str) -> None:
    assert "".join(char for char in said(text, language) if char in PAUSES) == pauses


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("ru", "Кюрасао"),  # "
        ("mi", "Ngā Moutere"),  # "
        ("is", "Suðurhluti"),  # #
        ("ar", "الصين الوسطى"),  # - and .
        ("ko", "북부"),  # -
        ("fr-fr", "du nord"),  # -
        ("hi", "कन्नड़"),  # .
        ("da", "Afrika"),  # ?
        ("am", "ምስራቅ"),  # `
        ("et", "Aasia"),  # ^
        ("ky", "Дүйнө"),  # [
        ("lv", "Centrs"),  # a tie bar
        ("vi", "Tiếng Việt mạ"),  # digits of tones
        ("fa", "افریقا"),  # 1
        ("de", "Das live Computer-Update"),  # (en)
    ],
)
def test_marks_of_espeaks_own_are_no_symbols(language: str, text: str) -> None:
    for symbol in said(text, language):
        is_sound = unicodedata.category(symbol)[0] in "LM" and symbol != "\u0361"
        assert is_sound or symbol in IPA_SIGNS


@pytest.mark.parametrize(
    ("answer", "language", "ipa"),
    [
        ('kʲu"rasˈɑʌ', "ru", "kʲurasˈɑʌ"),
        ("d_o|m", "ru", "dom"),
        ("(en)lˈaɪv(de) t͡sa", "de", "lˈaɪv tsa"),
        ("mˈaːɜ (en)wˈɜːd(vi)", "vi", "mˈaː˧˥ wˈɜːd"),
        ("bˈor. s^ia a:", "bn", "bˈoɽ sʲia aː"),
        ("sˈi2 si6", "yue", "sˈi˨˥ si˨"),
        ("q1ɑ 5", "fa", "qɑ"),
    ],
)
def test_an_answer_is_put_into_ipa(answer: str, language: str, ipa: str) -> None:
    assert "".join(ipa_characters(answer, language)) == ipa


def test_tones_stay_apart() -> None:
    readings = {said(word, "vi") for word in "ma má mà mả mã mạ".split()}
    assert len(readings) == 6


def test_a_sign_that_espeak_does_not_say_is_counted() -> None:
    assert says_sign("€", "de")
    assert not says_sign("€", "uk")
    assert phonemize(["Так € так"], "uk")[0].unknown == {"EURO SIGN": 1}


def test_the_sign_before_a_fraction_is_one_that_espeak_reads() -> None:
    assert decimal_sign("de", ",") == ","
    assert decimal_sign("tk", ",") == "."  # eSpeak has no word for the comma in Turkmen
    assert decimal_sign("pl", ".") == ","


@pytest.mark.parametrize(
    ("text", "language", "advice"),
    [
        ("مرحبا بكم", "en-us", "in Arabic letters, --language is en-us: say --language ar"),
        ("Добрый день", "el", "in Cyrillic letters, --language is el: say --language ru or uk"),
        ("こんにちは", "de", "in Japanese letters, --language is de: say --language ja"),
        ("안녕", "ru", "say --language ko"),
        ("བོད", "en-us", "no voice for its letters"),
        ("😀 …", "en-us", "no words"),
    ],
)
def test_a_text_in_other_letters_names_the_language_to_ask_for(
    text: str, language: str, advice: str
) -> None:
    assert phonemize([text], language)[0].symbols in ((), (".",))
    assert advice in why_silent(text, language)

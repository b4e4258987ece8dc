"""Numbers are read in the language of the text: separators, signs, lengths, telephones, doubts."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vibesweep.config import MelSettings
from vibesweep.corpus.text.espeak import pronounce
from vibesweep.corpus.text.normalization import NormalizedText, normalize
from vibesweep.corpus.text.phonemes import phonemize
from vibesweep.corpus.text.version import TEXT_VERSION
from vibesweep.models.mel.encoder import MelEncoder, PhonemeReader


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It was −7 outside.", "It was minus seven outside."),
        ("–7 °C to −3.5%", "minus seven degrees Celsius to minus three point five percent"),
        ("(−2), -$8 and 9 − 4", "(minus two), minus eight dollars and nine minus four"),
        ("2 000 000 stars", "two million stars"),
        ("14\u202f250 and 14\u00a0250", "fourteen thousand two hundred and fifty and"
         " fourteen thousand two hundred and fifty"),
        ("3'000 or 3’000'000", "three thousand or three million"),
        ("€2.345,67", "two thousand three hundred and forty five euros and sixty seven cents"),
        ("2,345.67 €", "two thousand three hundred and forty five euros and sixty seven cents"),
        ("€8,50", "eight euros and fifty cents"),
        ("12,34,000 people", "one million two hundred thirty four thousand people"),
        ("a 15\" disk", "a fifteen inches disk"),
        ("15″ by 3′", "fifteen inches by three feet"),
        ("She is 5'7\".", "She is five foot seven."),
        ("±4, ≥6 and ≤8", "plus or minus four, greater than or equal to six and"
         " less than or equal to eight"),
        ("4×6, 8 ÷ 2", "four times six, eight divided by two"),
        ("₩3000, 7₿ and ₪9", "three thousand won, seven bitcoin and nine shekels"),
        ("set it to +3", "set it to plus three"),
        ("call 1-888-555-0142", "call one eight eight eight five five five zero one four two"),
        ("0900 654 321", "zero nine zero zero six five four three two one"),
        ("+44 20 7946 0999", "plus four four two zero seven nine four six zero nine nine nine"),
        ("in 1990 100 people", "in nineteen ninety one hundred people"),
        ("10.20.30.40 and 2.0.1", "ten point twenty point thirty point forty and"
         " two point zero point one"),
    ],
)  # fmt: skip
def test_english_numbers(text: str, words: str) -> None:
    assert normalize(text) == NormalizedText(words)


@pytest.mark.parametrize(
    ("text", "language", "written"),
    [
        ("−7 Grad, –7 °C", "de", "minus 7 Grad, minus 7 Grad Celsius"),
        ("€2.345,67 oder 2,345.67 €", "de", "2345,67 € oder 2345,67 €"),
        ("5.000.000 und 5 000 000", "de", "5000000 und 5000000"),
        ("am 3.5.2024 um 12.30 Uhr, 8.50 €", "de", "am 3.5.2024 um 12.30 Uhr, 8,50 €"),
        ('17" und 6\'2"', "de", "17 Zoll und 6 Fuß 2 Zoll"),
        ("0800 123 456", "de", "0 8 0 0 1 2 3 4 5 6"),
        ("2\u202f345,67 et 06 12 34 56 78", "fr-fr", "2345,67 et 0 6 1 2 3 4 5 6 7 8"),
        ("il fait −7, ≥2, ±1", "fr-fr", "il fait moins 7, supérieur ou égal à 2, plus ou moins 1"),
        ("3'000.50", "fr-ch", "3000,50"),
        ("−7 °C, €100, 3 000 000", "ru", "минус 7 градусов Цельсия, 100 евро, 3000000"),
        ("21°C и 22°C", "ru", "21 градус Цельсия и 22 градуса Цельсия"),
        ("2.345,6 y 3 × 4", "es", "2345,6 y 3 por 4"),
        ("2,345.6 y 2.5", "es-419", "2345.6 y 2.5"),
        ("12,34,567.5", "hi", "1234567.5"),
        ("$5 Millionen, ₩300", "de", "5 Millionen $, 300 won"),
        ("5%", "ar", "5 بالمائة"),
        ("3,5", "tk", "3.5"),  # eSpeak reads no comma in Turkmen
    ],
)
def test_numbers_that_espeak_reads_are_written_as_it_knows_them(
    text: str, language: str, written: str
) -> None:
    assert normalize(text, language) == NormalizedText(written)


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("de", "1.234,56", "1234,56"),
        ("de", "−5", "minus 5"),
        ("fr-fr", "12\u202f500", "12500"),
        ("pl", "3,5", "3,5"),
        ("ru", "€5", "5 евро"),
    ],
)
def test_espeak_says_the_number(language: str, text: str, words: str) -> None:
    assert list(phonemize([text], language)[0].symbols) == pronounce([words], language)[0]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("今天−7℃，₩3000，7₿", "今天负七摄氏度,三千韩元, 七比特币"),
        ("9 − 4，±2，17\"屏幕", "九减四, 正负二, 十七英寸屏幕"),
        ("电话0900 654 321", "电话零九零零六五四三二一"),
        ("2.345,6元，3 000 000个", "两千三百四十五点六元,三百万个"),
    ],
)  # fmt: skip
def test_mandarin_numbers(text: str, words: str) -> None:
    assert normalize(text) == NormalizedText(words)


@pytest.mark.parametrize(
    ("text", "language", "written", "doubtful"),
    [
        ("1.234 km", "en-us", "one point two three four kilometers", {"1.234 as a fraction": 1}),
        ("2.345.678", "en-us", "two million three hundred forty five thousand six hundred and"
         " seventy eight", {"2.345.678 as thousands": 1}),
        ("14 250 cars", "en-us", "fourteen thousand two hundred and fifty cars",
         {"14 250 as one number": 1}),
        ("rooms 14 250", "en-us", "rooms fourteen two hundred and fifty",
         {"14 250 as two numbers": 1}),
        ("1,234 und 1,234", "de", "1,234 und 1,234", {"1,234 as a fraction": 2}),
        ("1.234", "de", "1234", {}),
        ("0,234", "de", "0,234", {}),
        ("1,234", "en-us", "one thousand two hundred and thirty four", {}),
    ],
)  # fmt: skip
def test_a_number_with_two_readings_is_read_by_the_language_and_counted(
    text: str, language: str, written: str, doubtful: Mapping[str, int]
) -> None:
    assert normalize(text, language) == NormalizedText(written, doubtful=doubtful)


def test_the_warning_says_which_reading_was_taken() -> None:
    reader = PhonemeReader("de")
    readings = reader.read(["1,234 Meter", "1,234 Meter und 14 250 Autos"])
    assert list(reader.warnings(readings)) == [
        ("doubtful_numbers", "read 1,234 as a fraction (2), 14 250 as one number (1)")
    ]


def test_shards_of_another_way_of_reading_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    before = MelEncoder(MelSettings(), "de")
    fingerprint = before.fingerprint
    later = TEXT_VERSION + 1
    monkeypatch.setattr("vibesweep.models.mel.encoder.TEXT_VERSION", later)
    assert MelEncoder(MelSettings(), "de").fingerprint != fingerprint


@pytest.mark.parametrize(
    "text",
    [
        "01.02.2024-05.03.2024",
        "08.30-10.15",
        "01/02/2024, 2024-01-02",
        "0900-1700",
        "+1 000 000",
        "pages 500-2000",
        "10 000 000",
    ],
)
def test_dates_hours_and_amounts_are_no_telephone_numbers(text: str) -> None:
    assert " 0 0 " not in normalize(text, "nl").text
    assert " 2 0 " not in normalize(text, "nl").text


def test_a_quote_that_closes_a_quotation_is_no_inch_mark() -> None:
    assert normalize('"We are 27" he said, "or 28".').text == (
        '"We are twenty seven" he said, "or twenty eight".'
    )
    assert normalize('"A 27" screen" costs less.').text == (
        '"A twenty seven inches screen" costs less.'
    )


def test_numbers_in_addresses_are_left_alone() -> None:
    address = "https://example.org/1.234,56?a=0800-123456"
    assert normalize(address, "de").text == address


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(alphabet="0123456789.,:/-−–'’\"″′ \u202f%€₩±≥×°C()+abм年", max_size=14))
def test_no_number_crashes(text: str) -> None:
    for language in ("de", "ru", "hi", "en-us"):
        normalize(text, language)

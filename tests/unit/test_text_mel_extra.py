"""Without the extra ``mel``, one line says what is missing and how to install it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vibesweep.corpus.demo import DEMO_VOICES, speak, write_demo_corpus
from vibesweep.corpus.text import check_language, normalization, normalize, phonemize
from vibesweep.corpus.text.mel_extra import PACKAGES, require_packages
from vibesweep.errors import CorpusError


def remove(monkeypatch: pytest.MonkeyPatch, *modules: str) -> None:
    """Let modules look as if they were not installed."""
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.parametrize("module", PACKAGES)
def test_phonemes_name_each_package_that_is_missing(
    monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    phonemize(["Hi."])
    remove(monkeypatch, module)
    with pytest.raises(CorpusError) as caught:
        phonemize(["Hello."])
    assert str(caught.value) == (
        f"phonemes need {PACKAGES[module]}, which this Python does not have."
        ' Run pip install "vibesweep[mel]".'
    )
    with pytest.raises(CorpusError, match=PACKAGES[module]):
        check_language("en-us")


def test_all_that_is_missing_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    remove(monkeypatch, *PACKAGES)
    with pytest.raises(CorpusError, match=", ".join(PACKAGES.values())):
        phonemize([])


def test_a_number_needs_wetext_and_plain_words_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    remove(monkeypatch, "wetext")
    normalization._grammar.cache_clear()
    assert normalize("No numbers here, 也没有。").failed == 0
    with pytest.raises(CorpusError, match="wetext"):
        normalize("It was 97531 then.")


def test_the_demo_needs_espeak_and_makes_no_folder_without_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    remove(monkeypatch, "espeakng_loader")
    with pytest.raises(CorpusError, match=r"eSpeak NG's voices need espeakng-loader"):
        write_demo_corpus(tmp_path / "demo", recordings=1)
    assert not (tmp_path / "demo").exists()
    with pytest.raises(CorpusError, match=r'pip install "vibesweep\[mel\]"'):
        speak("Hello.", DEMO_VOICES[0])


def test_what_is_installed_is_not_imported_by_the_check() -> None:
    program = (
        "import sys; from vibesweep.corpus.text.mel_extra import PACKAGES, require_packages;"
        " require_packages('tests'); print(sorted(set(PACKAGES) & set(sys.modules)))"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == "[]"
    require_packages("tests", "babel")


def test_text_and_demo_are_imported_without_the_extra() -> None:
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({list(PACKAGES)}));"
        " import vibesweep.corpus.demo, vibesweep.corpus.text as text;"
        " print(text.spoken_length('Hello.'), text.parse_turns('Hello.').turns[0].text)"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert found.stdout.strip() == "5 Hello."

"""Held-out texts, what is said of a voice, and `evaluate` on a tiny model: no ray."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import soundfile

from tests import tiny
from vibesweep.corpus.demo.voices import BASE_VOICES, ESPEAK_RATE_HZ, speak
from vibesweep.delivery.evaluate import evaluate
from vibesweep.errors import CorpusError, ModelError
from vibesweep.models.mel import speech
from vibesweep.quality import passages as passages_module
from vibesweep.quality.measures import DURATION_RATIO, IDENTIFIED, MCD, RAN_ON, Measure
from vibesweep.quality.passages import choose_passages
from vibesweep.quality.quality_file import Quality, Row, read_quality, write_quality
from vibesweep.quality.verdict import faults_of, verdict, wins
from vibesweep.storage import StoragePath

TEXTS = ("A bad cab faced a bee.", "A gab, a deed.", "Bad dad.", "A bed egg.")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Make four recordings of one person."""
    folder = tmp_path / "talks"
    folder.mkdir()
    lines = ["id|audio|text|speaker"]
    for number, text in enumerate(TEXTS):
        soundfile.write(folder / f"{number}.wav", speak(text, BASE_VOICES[0]), ESPEAK_RATE_HZ)
        lines.append(f"t{number}|{number}.wav|{text}|Ann")
    (folder / "metadata.csv").write_text("\n".join(lines))
    return folder


# Passages


def test_the_choice_is_the_same_each_time_and_leaves_out_what_was_trained_on(corpus: Path) -> None:
    first = choose_passages(corpus, "en-us", 2)
    assert [passage.id for passage in first.passages] == [
        passage.id for passage in choose_passages(corpus, "en-us", 2).passages
    ]
    seen = str(StoragePath.of(corpus) / "1.wav")
    held_out = choose_passages(corpus, "en-us", 9, [seen]).passages
    assert sorted(passage.id for passage in held_out) == ["t0", "t2", "t3"]
    assert set(first.english) == set(TEXTS)


def test_a_passage_has_its_sound_its_person_and_a_prompt_that_is_not_itself(corpus: Path) -> None:
    (passage,) = choose_passages(corpus, "en-us", 1).passages
    assert passage.people == {"SPEAKER_A": "Ann"}
    assert passage.language == "en"
    assert 0.3 < passage.recording.seconds < 4
    assert Path(passage.prompts["SPEAKER_A"]).is_file()
    assert Path(passage.prompts["SPEAKER_A"]).stem != passage.id.removeprefix("t")


def test_recordings_of_a_handy_length_come_first(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passages_module, "SHORTEST_S", 1.5)
    (passage,) = choose_passages(corpus, "en-us", 1).passages
    assert passage.id == "t0"


def test_every_text_that_is_said_is_among_those_to_be_recognized(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passages_module, "MOST_TEXTS", 2)
    chosen = choose_passages(corpus, "en-us", 3)
    assert list(chosen.english) == [passage.text for passage in chosen.passages]
    (first, *_) = chosen.passages
    fewer = choose_passages(corpus, "en-us", 1).english
    assert len(fewer) == 2
    assert fewer[0] == first.text


def test_a_corpus_of_which_nothing_is_held_out_is_the_users_case(corpus: Path) -> None:
    seen = [str(StoragePath.of(corpus) / f"{number}.wav") for number in range(len(TEXTS))]
    with pytest.raises(CorpusError, match="none of 0 held-out recordings"):
        choose_passages(corpus, "en-us", 2, seen)


# What is said of a voice

MEASURES = (MCD, IDENTIFIED, DURATION_RATIO, RAN_ON)


def row(
    name: str, identified: float = 1, mcd: float = 0, ran_on: float = 0, length: float = 1
) -> Row:
    """Make a voice that said two texts alike."""
    values = (mcd, identified, length, ran_on)
    scores: Mapping[str, float] = {
        measure.name: value for measure, value in zip(MEASURES, values, strict=True)
    }
    return Row(name, (scores, scores), (f"{name}-1.wav", f"{name}-2.wav"))


RECORDING = row("recording")


@pytest.mark.parametrize(
    ("trial", "base", "words"),
    [
        (row("trial 1", 1, 5), row("base", 0.5, 7), "sounds better than the untouched base"),
        (row("trial 1", 0.5, 9), row("base", 1, 7), "sounds worse than the untouched base"),
        (row("trial 1", 1, 7), row("base", 1, 7), "sounds like the untouched base"),
        (row("trial 1", 1, 7), row("base", 0, 7), "speaks and the untouched base does not"),
        (row("trial 1", 0, 5), row("base", 1, 7), "does not speak yet: 0 of 2 sentences"),
        (row("trial 1", 1, 5, 1), row("base", 1, 7), "does not stop when all is said"),
        (row("trial 1", 1, 5, 0, 0.2), row("base", 1, 7), "0.2 times the recordings' length"),
    ],
)
def test_the_verdict_says_what_the_figures_mean(trial: Row, base: Row, words: str) -> None:
    assert words in verdict([RECORDING, base, trial], "trial 1", MEASURES)


def test_nobody_is_judged_by_what_is_not_understood_of_the_recordings_either() -> None:
    assert faults_of(row("trial 1", 0), row("recording", 0.2)).understood is None
    assert faults_of(row("trial 1", 0), row("recording", 0.2)).speaks


def test_a_missing_figure_is_worse_than_any() -> None:
    mute = Row("base", ({MCD.name: 1.0},), ("a.wav",))
    assert wins(row("trial 1"), mute, (IDENTIFIED,)) == (1, 0)
    assert wins(mute, row("trial 1"), (IDENTIFIED,)) == (0, 1)


# The file


def test_the_file_comes_back_the_same_and_has_the_means(tmp_path: Path) -> None:
    file = StoragePath.of(tmp_path / "quality.json")
    rows = (RECORDING, row("base", 0.5, 7))
    quality = Quality(("a", "b"), ("t0", "t1"), MEASURES, rows, "better", "install it", 0, "key")
    write_quality(quality, file)
    assert read_quality(file) == quality
    assert '"mcd_db": 7' in file.read_bytes().decode()
    assert read_quality(StoragePath.of(tmp_path / "nothing.json")) is None


def test_a_broken_file_is_the_users_case(tmp_path: Path) -> None:
    file = tmp_path / "quality.json"
    for content in ("{", '{"version": 2}', '{"version": 1}'):
        file.write_text(content)
        with pytest.raises(ModelError, match="it cannot be read"):
            read_quality(StoragePath.of(file))


# The verb


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a base that knows the letters of the texts, and never stops by itself."""
    monkeypatch.setattr(speech, "PATCHES_PER_PHONEME", 0.5)
    monkeypatch.setattr("vibesweep.models.mel.reading.MOST_LEFT_OUT", 1.0)
    monkeypatch.setattr("vibesweep.quality.scorers.OF_PACKAGES", ())
    return tiny.write_base(tmp_path / "base")


def test_asked_twice_it_reads_what_it_wrote(base: Path, corpus: Path, tmp_path: Path) -> None:
    told: list[str] = []
    out = tmp_path / "out"
    first = evaluate(str(base), corpus, told.append, out=out, texts=2)
    assert [each.name for each in first.quality.rows] == ["recording", "base"]
    assert len(first.quality.texts) == 2
    assert all((out / file).is_file() for each in first.quality.rows for file in each.audio)
    (out / first.quality.rows[1].audio[0]).unlink()
    assert evaluate(str(base), corpus, told.append, out=out, texts=2) == first
    assert len(list((out / "audio").iterdir())) == 3
    again = evaluate(str(base), corpus, told.append, out=out, texts=3)
    assert len(again.quality.texts) == 3


def test_a_base_that_was_trained_anew_is_heard_anew(
    base: Path, corpus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = evaluate(str(base), corpus, print, out=out, texts=1)
    weights, *_ = base.glob("*.safetensors")
    changed = bytearray(weights.read_bytes())
    changed[-1] ^= 1
    weights.write_bytes(changed)
    again = evaluate(str(base), corpus, print, out=out, texts=1)
    assert again.quality.key != first.quality.key


def test_measures_say_how_far_a_value_is_from_the_best() -> None:
    assert Measure("ratio", "ratio", 1.0, "").distance(0.4) == pytest.approx(0.6)

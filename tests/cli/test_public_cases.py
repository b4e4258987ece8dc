"""Corpora as people bring them, from public reports: each is taken for what it is.

The kinds are those of public bug reports; all texts and sounds are made here. The commands are
typed in this process, on the tests' cluster.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import soundfile

from tests.cli.command import Vibesweep
from tests.readings import sounds_alone
from vibesweep.corpus.shards.manifest import read_clips, read_manifest, read_table
from vibesweep.corpus.text.espeak import pronounce
from vibesweep.models.mel.encoder import MEL, PHONEMES

RATE_HZ, SECONDS = 24_000, 2.0
TEXTS = (
    "The kettle had gone cold by noon.",
    "Nobody had asked about the letter.",
    "We walked along the harbour wall.",
    "A lamp was burning in the hall.",
    "They sold the boat in early spring.",
    "His brother never came to town.",
)

Samples = npt.NDArray[np.float64]


def speechlike(seed: int, seconds: float = SECONDS) -> Samples:
    """Make a hummed sound [S] with syllables of a quarter of a second; no two seeds are alike."""
    rng = np.random.default_rng(seed)
    moments = np.arange(int(RATE_HZ * seconds)) / RATE_HZ
    pitch_hz = rng.uniform(90, 240)
    harmonics = [
        np.sin(2 * np.pi * pitch_hz * number * moments + rng.uniform(0, 6)) / number
        for number in range(1, 12)
    ]
    syllables = 0.55 + 0.45 * np.sin(2 * np.pi * 4 * moments)
    breath = rng.normal(0, 0.02, len(moments))
    hum: Samples = syllables * np.sum(harmonics, axis=0)
    return 0.1 * (hum + breath)


def write_sounds(folder: Path, names: Sequence[str], seconds: float = SECONDS) -> None:
    """Write a sound of its own for each file name."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        soundfile.write(folder / name, speechlike(seed, seconds), RATE_HZ)


def write_jsonl(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write one JSON object a line."""
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def turns_of(shards: Path) -> list[dict[str, Any]]:
    """Read the turns of all clips."""
    rows = read_table(shards)["turns"].to_pylist()
    return [turn for turns in rows for turn in turns]


def spoken(shards: Path) -> dict[str, str]:
    """Return who says each text."""
    return {turn["text"]: turn["speaker"] for turn in turns_of(shards)}


def test_tags_of_sounds_and_footnotes_are_left_out_and_told(
    tmp_path: Path, in_process: Vibesweep
) -> None:
    texts = [
        "Well, there it is. [chuckles] I had no idea.",
        "[sighs] It snowed for days.",
        "The gate shut. [thunder] Nobody moved.",
        "It was built in 1820.[1] The tower came later.[2] It leans.",
        "[laughs] We never found it.",
        "Then the band began. [music]",
    ]
    names = [f"{number}.wav" for number in range(len(texts))]
    write_sounds(tmp_path / "audio", names)
    rows = [
        {"audio": f"audio/{name}", "text": text} for name, text in zip(names, texts, strict=True)
    ]
    write_jsonl(tmp_path / "talks.jsonl", rows)
    printed = in_process("preprocess", "talks.jsonl", "out", cwd=tmp_path)
    turns = turns_of(tmp_path / "out")
    assert len({turn["speaker"] for turn in turns}) == 1
    said = " ".join(turn["text"] for turn in turns)
    assert not any(mark in said for mark in ("[", "]", "sighs", "music", "thunder", "chuckles"))
    assert "The tower came later." in said
    assert "warnings" in printed
    assert sum(read_manifest(tmp_path / "out").warnings.values()) >= len(texts)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("", "{id}|{text}|{person}"),
        ("", "{id}|{person}|{text}"),
        ("audio_file|text|speaker_name", "wavs/{id}.wav|{text}|{person}"),
        ("", "{id}.wav|{text}"),
    ],
    ids=["text-then-speaker", "speaker-then-text", "xtts-header", "ids-with-ending"],
)
def test_the_columns_of_a_table_are_what_they_hold(
    tmp_path: Path, in_process: Vibesweep, header: str, row: str
) -> None:
    ids = [f"line_{number:02d}" for number in range(len(TEXTS))]
    write_sounds(tmp_path / "wavs", [f"{name}.wav" for name in ids])
    people = ["Mira", "Mira", "Otto", "Otto", "Vera", "Vera"]
    lines = [header] if header else []
    for name, text, person in zip(ids, TEXTS, people, strict=True):
        lines.append(row.format(id=name, text=text, person=person))
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    printed = in_process("preprocess", ".", "out", cwd=tmp_path)
    found = spoken(tmp_path / "out")
    assert set(found) == set(TEXTS)
    if "{person}" in row:
        assert found == dict(zip(TEXTS, people, strict=True))
        assert "3 people" in printed
    else:
        assert len(set(found.values())) == 1


def test_file_names_in_another_normal_form_are_found(tmp_path: Path, in_process: Vibesweep) -> None:
    names = ["Brücke_eins", "forêt_deux", "mañana_tres", "plain_four"]
    decomposed = [unicodedata.normalize("NFD", name) for name in names]
    write_sounds(tmp_path / "audio", [f"{name}.flac" for name in decomposed])
    (tmp_path / "text").mkdir()
    lines = ["id,audio_path,text_path"]
    for name, on_disk, text in zip(names, decomposed, TEXTS, strict=False):
        (tmp_path / "text" / f"{on_disk}.txt").write_text(text)
        lines.append(f"{name},audio/{name}.flac,text/{name}.txt")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    printed = in_process("preprocess", ".", "out", cwd=tmp_path)
    assert "0 rejected" in printed
    assert set(spoken(tmp_path / "out")) == set(TEXTS[: len(names)])


def test_back_slashes_of_a_table_from_windows_are_slashes(
    tmp_path: Path, in_process: Vibesweep
) -> None:
    names = [f"clip{number}" for number in range(4)]
    write_sounds(tmp_path / "audio", [f"{name}.flac" for name in names])
    (tmp_path / "text").mkdir()
    lines = ["id,audio_path,text_path"]
    for name, text in zip(names, TEXTS, strict=False):
        (tmp_path / "text" / f"{name}.txt").write_text(text)
        lines.append(rf"{name},audio\{name}.flac,text\{name}.txt")
    table = "\r\n".join(lines) + "\r\n"
    (tmp_path / "metadata.csv").write_bytes(b"\xef\xbb\xbf" + table.encode())
    printed = in_process("preprocess", ".", "out", cwd=tmp_path)
    assert "0 rejected" in printed
    assert set(spoken(tmp_path / "out")) == set(TEXTS[: len(names)])


def test_paths_from_the_working_folder_and_a_language_that_was_not_named(
    tmp_path: Path, in_process: Vibesweep
) -> None:
    texts = ["مرحبا بكم في بيتنا.", "الجو جميل اليوم.", "سافر أخي إلى البحر.", "أغلقت الباب مساء."]
    names = [f"a{number}.wav" for number in range(len(texts))]
    write_sounds(tmp_path / "data" / "train_audio", names)
    rows = [
        {"audio": f"data/train_audio/{name}", "text": text}
        for name, text in zip(names, texts, strict=True)
    ]
    write_jsonl(tmp_path / "data" / "train.jsonl", rows)
    command = ("preprocess", "data/train.jsonl", "out")
    said = in_process(*command, cwd=tmp_path, rc=2)
    assert "--language ar" in said
    printed = in_process(*command, "--language", "ar", cwd=tmp_path)
    assert "0 rejected" in printed
    assert set(spoken(tmp_path / "out")) == set(texts)


def test_an_offset_changes_no_mel_and_a_dead_microphone_is_silent(
    tmp_path: Path, in_process: Vibesweep
) -> None:
    wavs = tmp_path / "wavs"
    wavs.mkdir()
    lines = []
    for seed, text in enumerate(TEXTS[:2]):
        clean = speechlike(seed) / 3
        for kind, offset in (("clean", 0.0), ("dc", 0.08)):
            soundfile.write(wavs / f"{seed}_{kind}.wav", clean + offset, RATE_HZ, subtype="FLOAT")
            lines.append(f"{seed}_{kind}|{text}")
    hiss = np.random.default_rng(9).normal(0, 1e-5, int(RATE_HZ * SECONDS))
    soundfile.write(wavs / "dead.wav", hiss + 0.02, RATE_HZ, subtype="FLOAT")
    lines.append(f"dead|{TEXTS[2]}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    options = ("--max-reject-fraction", "0.9")
    printed = in_process("preprocess", ".", "out", *options, cwd=tmp_path)
    assert "1 x silent_audio" in printed
    mels = {clip.id: clip.columns[MEL] for clip in read_clips(tmp_path / "out")}
    for seed in range(2):
        difference = mels[f"{seed}_dc"].astype(float) - mels[f"{seed}_clean"].astype(float)
        assert np.abs(difference).mean() < 0.02


FIGURES = {
    "It was −5 degrees at noon.": "It was minus five degrees at noon.",
    "There were 2 000 000 people.": "There were two million people.",
    "There were 17\u202f500 people.": "There were seventeen thousand five hundred people.",
    "It cost €2.345,67 then.": (
        "It cost two thousand three hundred and forty-five euros and sixty-seven cents then."
    ),
    'The board was 31" wide.': "The board was thirty-one inches wide.",
    "Call 0800 654 321 now.": "Call zero eight zero zero six five four three two one now.",
}


def test_figures_are_read_as_they_are_spoken(tmp_path: Path, in_process: Vibesweep) -> None:
    lines, names = [], []
    for number, (figures, words) in enumerate(FIGURES.items()):
        lines += [f"{number}_figures|{figures}", f"{number}_words|{words}"]
        names += [f"{number}_figures.wav", f"{number}_words.wav"]
    write_sounds(tmp_path / "wavs", names, seconds=6.0)
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    in_process("preprocess", ".", "out", cwd=tmp_path)
    phonemes = phonemes_of(tmp_path / "out")
    for number, figures in enumerate(FIGURES):
        found = sounds_alone(phonemes[f"{number}_figures"])
        wanted = sounds_alone(phonemes[f"{number}_words"])
        assert found == wanted, figures


def phonemes_of(shards: Path) -> dict[str, str]:
    """Return each clip's phonemes."""
    table = read_table(shards, columns=["id", f"turns.list.element.{PHONEMES}"])
    found = {}
    for row in table.to_pylist():
        found[row["id"]] = "".join(row["turns"][0][PHONEMES])
    return found


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("fa", "او می‌خواهد برود."),
        ("ca", "La col·lecció és il·lustrada."),
        ("uz", "Oʻzbek tili goʻzal."),
        ("gn", "Pe mitãnguéra ohóta ag̃uive."),
    ],
)
def test_espeak_sees_words_whole(
    tmp_path: Path, in_process: Vibesweep, language: str, text: str
) -> None:
    write_sounds(tmp_path / "wavs", ["one.wav", "two.wav"])
    (tmp_path / "metadata.csv").write_text(f"one|{text}\ntwo|{text}\n")
    in_process("preprocess", ".", "out", "--language", language, cwd=tmp_path)
    found = phonemes_of(tmp_path / "out")["one"]
    (by_itself,) = pronounce([text.rstrip(".")], language)
    assert sounds_alone(found) == sounds_alone("".join(by_itself))


GREEK = (
    "Καλημέρα και καλή τύχη.",
    "Το πλοίο έφυγε νωρίς.",
    "Η θάλασσα ήταν ήρεμη.",
    "Θα έρθω αύριο το πρωί.",
    "Το ψωμί είναι ζεστό.",
    "Κανείς δεν μίλησε.",
    "Το σπίτι είναι μικρό.",
    "Πάμε μαζί στην αγορά.",
)
SPACE = """
import optuna
from vibesweep import Budget, Sweep, TrialSettings

def space(trial: optuna.Trial):
    trial.suggest_float("learning_rate", 1e-4, 1e-3, log=True)

sweep = Sweep(space=space, settings=TrialSettings(batch_clips=2), trials=2, lanes=1,
              budget=Budget(max_steps=4, grace_steps=2, reduction_factor=2))
"""


def test_a_voice_speaks_the_language_it_was_tuned_in(tmp_path: Path, in_process: Vibesweep) -> None:
    names = [f"g{number}" for number in range(len(GREEK))]
    write_sounds(tmp_path / "talks" / "wavs", [f"{name}.wav" for name in names])
    lines = [f"{name}|{text}" for name, text in zip(names, GREEK, strict=True)]
    (tmp_path / "talks" / "metadata.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "space.py").write_text(SPACE)
    in_process("preprocess", "talks", "out", "--language", "el", cwd=tmp_path)
    printed = in_process("run", "space.py", "--corpus", "out", "--name", "greek", cwd=tmp_path)
    assert "no sample" not in printed
    best = tmp_path / "sweeps" / "greek" / "best"
    assert (best / "sample.wav").is_file()
    command = ("synthesize", best, "--text", "Καλή σας νύχτα.", "--out", "night.wav")
    in_process(*command, cwd=tmp_path)
    assert (tmp_path / "night.wav").is_file()

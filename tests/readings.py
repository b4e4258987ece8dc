"""Made-up corpora of the kinds that people bring, each with what it says and who says it.

:func:`misread` takes one as far as the rows of a part, and names what came out as another thing
without a word: neither as it is meant, nor as a reject, an error or a warning of that recording.
"""

from __future__ import annotations

import json
import random
import tempfile
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from tests.encoders import MEL_ENCODER
from tests.numbers_in_words import figures_and_words
from vibesweep.corpus.demo.sentences import sentence
from vibesweep.corpus.ingest import decode
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.preprocess.fingerprints import fingerprint_all
from vibesweep.corpus.preprocess.parts import decode_part
from vibesweep.corpus.preprocess.plan import Part
from vibesweep.corpus.text.espeak import pronounce
from vibesweep.corpus.text.phonemes import phonemize
from vibesweep.errors import CorpusError
from vibesweep.storage import StoragePath

PEOPLE = ("Mira", "Otto", "Vera", "p225", "spk3", "J. Smith", "小明", "LJ")
SOUNDS = ("[laughs]", "[sighs]", "[music]", "[door slams]", "(laughter)", "<breath>", "*coughs*")
NOTES = ("[1]", "[12]", "[00:41]")
HEADS = (
    ("SPEAKER_00: ", "SPEAKER_01: "),
    ("[Speaker 1] ", "[Speaker 2] "),
    ("spk_1: ", "spk_2: "),
    ("Speaker 0: ", "speaker 1: "),
    ("Anna: ", "Tom: "),
    ("[Anna] ", "[Tom] "),
)
HEADERS = (
    ("audio_file", "text", "speaker_name"),
    ("file_name", "transcription", "speaker_id"),
    ("path", "sentence", "client_id"),
    ("audio", "text", "speaker"),
    ("filename", "transcript", "speaker"),
)
SEPARATORS = ("|", "\t", ",", ";")
DOUBTS = {"unclear_tags", "doubtful_numbers", "not_normalised"}
"""Warnings that say how something was read which may be meant otherwise."""
WHOLE_WORDS = {
    "fa": ("می‌خواهم", "کتاب‌ها", "نمی‌دانم", "خانه‌ام", "آب", "روز"),
    "ca": ("col·legi", "intel·ligent", "al·lot", "paral·lel", "casa", "vila"),
    "uz": ("oʻgʻil", "goʻzal", "oʻrmon", "togʻ", "kitob", "bola"),
    "haw": ("Hawaiʻi", "ʻōlelo", "kaʻa", "aloha"),
    "gn": ("ag̃uive", "mitã", "kuñataĩ", "óga"),
    "ml": ("അവൻ", "അവൾ", "മലർ", "വീട്"),
}
RATE_HZ = 16_000
MAX_DURATION_S = 30.0


Tried = tuple[int, list[str]]
"""How many inputs were tried, and what became of those that were misread silently."""


@dataclass(frozen=True)
class Said:
    """What a recording says.

    Attributes:
        text: the words.
        person: who says it, by a name that need not be the corpus's; one person has one name.
        same_sound_as: words that must have the same phonemes, instead of the same letters.
    """

    text: str
    person: str = "one"
    same_sound_as: str | None = None


@dataclass(frozen=True)
class Made:
    """A corpus.

    Attributes:
        files: contents by path; recordings are added for the names in ``said``.
        audio: path of each recording.
        said: what each recording says, in the same order.
    """

    files: dict[str, bytes]
    audio: tuple[str, ...]
    said: tuple[Said, ...]


def _plain_sentence(rng: random.Random) -> str:
    return sentence("en", rng).strip().replace("|", " ")


def make_table(rng: random.Random) -> Made:
    """Make a table whose columns are in one of the orders and under one of the names in use."""
    count = rng.randint(6, 10)
    people = rng.sample(PEOPLE, rng.randint(2, 3))
    said = [Said(_plain_sentence(rng), people[n % len(people)]) for n in range(count)]
    ids = [f"line_{number:03d}" for number in range(count)]
    ending = rng.choice(("", ".wav"))
    with_people = rng.random() < 0.8
    lines = []
    if rng.random() < 0.5:
        header, separator = rng.choice(HEADERS), rng.choice(SEPARATORS)
        columns = header if with_people else header[:2]
        lines.append(separator.join(columns))
        names = [f"wavs/{name}.wav" for name in ids]
        order = ("name", "text", "person")
    else:
        separator = "|"
        names = [f"{name}{ending}" for name in ids]
        order = rng.choice((("name", "text", "person"), ("name", "person", "text")))
    for name, one in zip(names, said, strict=True):
        cells = {"name": name, "text": _quoted(one.text, separator), "person": one.person}
        kept = [cells[column] for column in order if with_people or column != "person"]
        lines.append(separator.join(kept))
    if not with_people:
        said = [Said(one.text) for one in said]
    newline = rng.choice(("\n", "\r\n"))
    text = newline.join(lines) + newline
    mark = rng.choice((b"", b"\xef\xbb\xbf"))
    files = {"metadata.csv": mark + text.encode()}
    return Made(files, tuple(f"wavs/{name}.wav" for name in ids), tuple(said))


def _quoted(text: str, separator: str) -> str:
    needs_quotes = separator in (",", ";") and any(sign in text for sign in f'{separator}"')
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if needs_quotes else text


def make_tags(rng: random.Random) -> Made:
    """Make texts with tags of sounds, footnotes and times in them."""
    rows = []
    for _ in range(8):
        words = _plain_sentence(rng).split(" ")
        tag = rng.choice(SOUNDS + NOTES)
        at = len(words) if tag in NOTES else rng.choice((0, len(words)))
        tagged = " ".join([*words[:at], tag, *words[at:]])
        rows.append((tagged, Said(" ".join(words))))
    return _json_lines(rows)


def make_heads(rng: random.Random) -> Made:
    """Make texts that begin with a speaker's tag or name."""
    heads = rng.choice(HEADS)
    rows = []
    for _ in range(8):
        head = rng.choice(heads)
        text = _plain_sentence(rng)
        rows.append((head + text, Said(text, head)))
    return _json_lines(rows)


def make_paths(rng: random.Random) -> Made:
    """Make a table that names its files a little differently than they are named."""
    kind = rng.choice(("normal form", "back-slashes", "case", "ending"))
    stems = [f"{word}_{number}" for number, word in enumerate(("Brücke", "forêt", "mañana", "één"))]
    rows = [(_plain_sentence(rng), stem) for stem in stems]
    lines, files, audio = ["id,audio_path,text_path"], {}, []
    for text, stem in rows:
        on_disk = unicodedata.normalize("NFD", stem) if kind == "normal form" else stem
        sound_ending = ".WAV" if kind == "case" else ".wav"
        audio.append(f"audio/{on_disk}{sound_ending}")
        files[f"text/{on_disk}.txt"] = text.encode()
        slash = "\\" if kind == "back-slashes" else "/"
        asked = ".flac" if kind == "ending" else ".wav"
        lines.append(f"{stem},audio{slash}{stem}{asked},text{slash}{stem}.txt")
    files["metadata.csv"] = "\n".join(lines).encode()
    return Made(files, tuple(audio), tuple(Said(text) for text, _ in rows))


def make_figures(rng: random.Random) -> Made:
    """Make texts with figures, each of which is one number in words."""
    rows = []
    for _ in range(8):
        figures, words = figures_and_words(rng)
        rows.append((figures, Said(figures, same_sound_as=words)))
    return _json_lines(rows)


def _json_lines(rows: Sequence[tuple[str, Said]]) -> Made:
    audio = tuple(f"audio/{number:03d}.wav" for number in range(len(rows)))
    lines = []
    for path, (text, _) in zip(audio, rows, strict=True):
        row = {"audio": path, "text": text}
        lines.append(json.dumps(row, ensure_ascii=False))
    content = "\n".join(lines).encode()
    return Made({"talks.jsonl": content}, audio, tuple(said for _, said in rows))


def misread(made: Made) -> list[str]:
    """Read a corpus and say what came out as another thing without a word.

    Raises:
        AssertionError: a recording came to nothing: neither a clip nor a reject.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write(made, folder)
        try:
            metadata = read_metadata(scratch)
        except CorpusError:
            return []
        place = StoragePath.of(scratch)
        found = fingerprint_all(metadata.recordings, place, MAX_DURATION_S, MEL_ENCODER.fingerprint)
        part = decode_part(Part(tuple(found.planned)), MEL_ENCODER, MAX_DURATION_S)
    rejected = len(metadata.rejects) + len(found.rejects) + len(part.tried.rejects)
    assert len(part.rows) + rejected == len(made.said), "a recording is lost"
    rows = {Path(row["source"]).name: row for row in part.rows}
    read = [rows.get(Path(path).name) for path in made.audio]
    return [*_other_words(made, read), *_other_people(made, read)]


def _write(made: Made, folder: Path) -> None:
    for path, content in made.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    for number, (path, said) in enumerate(zip(made.audio, made.said, strict=True)):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        seconds = 1.0 + len(said.same_sound_as or said.text) / 12
        sound = np.random.default_rng(number).normal(0, 0.1, int(RATE_HZ * seconds))
        soundfile.write(folder / path, sound, RATE_HZ)


def _other_words(made: Made, read: Sequence[dict[str, Any] | None]) -> list[str]:
    """Name recordings whose words are others than were said."""
    found = []
    for said, row in zip(made.said, read, strict=True):
        if row is None or _is_doubtful(row):
            continue
        text = " ".join(turn["text"] for turn in row["turns"])
        if said.same_sound_as is None:
            same = text.split() == said.text.split()
        else:
            phonemes = "".join(sign for turn in row["turns"] for sign in turn["phonemes"])
            same = sounds_alone(phonemes) == _sounds_of(said.same_sound_as)
        if not same:
            found.append(f"{said.same_sound_as or said.text!r} was read as {text!r}")
    return found


def _other_people(made: Made, read: Sequence[dict[str, Any] | None]) -> list[str]:
    """Name people who became others, or one person with another."""
    pairs = set()
    for said, row in zip(made.said, read, strict=True):
        if row is not None and not _is_doubtful(row):
            pairs |= {(said.person, turn["speaker"]) for turn in row["turns"]}
    named = {person for person, _ in pairs}
    read_as = {speaker for _, speaker in pairs}
    if len(pairs) == len(named) == len(read_as):
        return []
    return [f"people {sorted(named)} were read as {sorted(read_as)}"]


def _is_doubtful(row: dict[str, Any]) -> bool:
    return any(warning["reason"] in DOUBTS for warning in row["warnings"])


def _sounds_of(words: str) -> str:
    (phonemes,) = phonemize([words])
    return sounds_alone("".join(phonemes.symbols))


def sounds_alone(phonemes: str) -> str:
    """Leave out pauses, and an "and" that numbers have or do not have ("a hundred and five")."""
    for conjunction in ("ænd", "ənd", "ˈænd"):
        phonemes = phonemes.replace(f" {conjunction} ", " ").replace(f" {conjunction}", "")
    return "".join(sign for sign in phonemes if sign.isalpha())


def try_words(rng: random.Random) -> Tried:
    """Compare words with signs in them with what eSpeak NG says of them by itself."""
    language = rng.choice(sorted(WHOLE_WORDS))
    texts = [" ".join(rng.choices(WHOLE_WORDS[language], k=3)) for _ in range(8)]
    by_itself = pronounce(texts, language)
    silent = []
    for text, wanted, read in zip(texts, by_itself, phonemize(texts, language), strict=True):
        if sounds_alone("".join(read.symbols)) != sounds_alone("".join(wanted)):
            silent.append(f"{language} {text!r} was read as {''.join(read.symbols)!r}")
    return len(texts), silent


def try_offsets(rng: random.Random) -> Tried:
    """Compare the level of a sound with that of the same sound beside zero."""
    seconds, offset = rng.uniform(1.5, 4.0), rng.uniform(0.01, 0.3)
    quiet = np.random.default_rng(rng.randint(0, 999)).normal(0, 0.03, int(RATE_HZ * seconds))
    levels = []
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "sound.wav"
        for shift in (0.0, offset):
            soundfile.write(path, quiet + shift, RATE_HZ, subtype="FLOAT")
            levels.append(decode(path, RATE_HZ, 0.0, None, where=str(path)).level_dbfs)
    change_db = abs(levels[1] - levels[0])
    silent = [f"an offset of {offset:.2f} changed the level by {change_db:.2f} dB"]
    return 2, silent if change_db > 0.1 else []


def _try(make: Callable[[random.Random], Made], rng: random.Random) -> Tried:
    made = make(rng)
    return len(made.said), misread(made)


KINDS: dict[str, Callable[[random.Random], Tried]] = {
    "tables": partial(_try, make_table),
    "tags of sounds": partial(_try, make_tags),
    "heads of lines": partial(_try, make_heads),
    "paths": partial(_try, make_paths),
    "figures": partial(_try, make_figures),
    "words with signs": try_words,
    "offsets": try_offsets,
}
"""What is tried, by kind: each makes inputs, and says how many and which were misread silently."""

"""Corpora that hypothesis makes up: tables, texts and audio files, some of them broken.

:func:`check` takes a corpus as far as a part of preprocessing.
"""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from hypothesis import strategies as st

from tests.encoders import MEL_ENCODER
from vibesweep.corpus.ingest.metadata import COLUMNS, SPEAKERS_COLUMN, read_metadata
from vibesweep.corpus.preprocess.fingerprints import fingerprint_all
from vibesweep.corpus.preprocess.parts import (
    decode_part,
    encode_sounds,
    read_part,
    read_tried,
    write_part,
)
from vibesweep.corpus.preprocess.plan import Part
from vibesweep.corpus.recordings import Recording
from vibesweep.errors import CorpusError
from vibesweep.storage import StoragePath

MAX_DURATION_S = 2.0
SECONDS = 1.5

Samples = npt.NDArray[np.float64]


def _audio_bytes(
    samples: Samples, rate_hz: int, subtype: str = "PCM_16", container: str = "WAV"
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, subtype=subtype, format=container)
    return buffer.getvalue()


def _noise(rate_hz: int, seconds: float = SECONDS) -> Samples:
    return np.random.default_rng(0).normal(0, 0.1, int(rate_hz * seconds))


INTACT = (
    _audio_bytes(_noise(16_000), 16_000),
    _audio_bytes(_noise(24_000), 24_000, "FLOAT"),
    _audio_bytes(_noise(22_050), 22_050, "PCM_16", "FLAC"),
)
UNUSABLE = (
    b"",
    _audio_bytes(np.zeros(24_000), 24_000),
    _audio_bytes(_noise(8_000, 0.01), 8_000),
    _audio_bytes(np.full(24_000, np.nan), 24_000, "FLOAT"),
    _audio_bytes(np.clip(_noise(24_000) * 100, -1, 1), 24_000),
    _audio_bytes(_noise(24_000, 5.0), 24_000),
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """Change some bytes of an intact file, mostly in its header, or cut the file off."""
    content = bytearray(draw(st.sampled_from(INTACT)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, 60) | st.integers(0, len(content) - 1))
        content[at] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])


AUDIO = (
    st.sampled_from(INTACT)
    | _damaged()
    | st.sampled_from(UNUSABLE)
    | st.binary(max_size=64)
    | st.none()
)
WORDS: st.SearchStrategy[str] = st.sampled_from(
    [
        "It was a quiet morning.",
        "[SPEAKER_A] Good day.\n[SPEAKER_B] 你好，世界。",
        "Speaker 1: Call 555-1234 on 3/4/2025.",
        "[A] [B]",
        "…",
        "\ufeff",
    ]
)
TEXT: st.SearchStrategy[bytes | None] = (
    WORDS | st.text(max_size=60) | st.lists(WORDS, max_size=3).map("\n".join)
).map(lambda text: text.encode("utf-8", "replace"))
TEXT = TEXT | st.binary(max_size=20) | st.none()
CELL = st.text(max_size=8)


@dataclass(frozen=True)
class Row:
    """A row of the table, and its files' contents; ``None`` where there is no file."""

    cells: tuple[str, ...]
    audio: bytes | None
    text: bytes | None


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Make a row that may be right, or wrong in any way."""
    name = draw(st.text("abc#/.", min_size=1, max_size=3) | CELL)
    speakers = draw(st.sampled_from(["1", "2", ""]) | CELL)
    seconds = draw(st.sampled_from([str(SECONDS), "", "nan", "-1", "1e9"]) | CELL)
    people = draw(st.sampled_from(["", "SPEAKER_A=Ann;SPEAKER_B=Bo", "A=;"]) | CELL)
    return Row((name, speakers, seconds, people), draw(AUDIO), draw(TEXT))


@st.composite
def damaged_tables(draw: st.DrawFn) -> str:
    """Make a table with characters taken out or put in."""
    text = list(table(draw(st.lists(rows(), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 3))] = draw(
            st.sampled_from(['"', ",", "\n", "\r", "\0", "|", ";"]) | st.characters(codec="utf-8")
        )
    return "".join(text)


def table(made: list[Row]) -> str:
    """Write rows as metadata.csv; their files are named by number."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow((*COLUMNS, SPEAKERS_COLUMN))
    for number, row in enumerate(made):
        name, speakers, seconds, people = row.cells
        writer.writerow((name, f"{number}.wav", f"{number}.txt", speakers, seconds, people))
    return buffer.getvalue()


def check(text: str, made: list[Row], expected: int | None) -> None:
    """Take a corpus as far as a part.

    Every row becomes clips or a reject, and nothing but a CorpusError is raised.

    Args:
        text: of metadata.csv.
        made: rows whose files are written.
        expected: how many rows the table has; ``None`` if it may be broken.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_corpus(Path(folder), text, made)
        try:
            metadata = read_metadata(folder)
        except CorpusError:
            assert expected is None, "a whole table is read"
            return
        assert expected in (None, len(metadata.recordings) + len(metadata.rejects))
        _check_part(metadata.recordings, StoragePath.of(folder))


def _write_corpus(folder: Path, text: str, made: list[Row]) -> None:
    (folder / "metadata.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
    for number, row in enumerate(made):
        if row.audio is not None:
            (folder / f"{number}.wav").write_bytes(row.audio)
        if row.text is not None:
            (folder / f"{number}.txt").write_bytes(row.text)


def _check_part(recordings: Sequence[Recording], folder: StoragePath) -> None:
    found = fingerprint_all(recordings, folder, MAX_DURATION_S, MEL_ENCODER.fingerprint)
    planned, missing = found.planned, found.rejects
    assert len(planned) + len(missing) == len(recordings)
    part = Part(tuple(planned))
    decoded = decode_part(part, MEL_ENCODER, MAX_DURATION_S)
    rows = encode_sounds(decoded, MEL_ENCODER.open_sound("cpu"), MEL_ENCODER.columns)
    write_part(decoded, rows, MEL_ENCODER.columns, folder)
    tried = read_tried(folder / part.name)
    used, rejected = set(tried.used), set(tried.rejects)
    assert used | rejected == {item.fingerprint for item in planned}
    assert not used & rejected
    in_part = set(read_part(folder / part.name)["recording"].to_pylist())
    assert in_part == {item.recording.id for item in planned if item.fingerprint in used}

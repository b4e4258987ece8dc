"""Corpora that hypothesis makes up: tables, texts and audio files, some sound and some broken, on their way to a part."""

from __future__ import annotations

import csv
import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from hypothesis import strategies as st

from vibesweep.config import CorpusSettings
from vibesweep.corpus.ingest.metadata import COLUMNS, SPEAKERS_COLUMN, read_metadata
from vibesweep.corpus.preprocess.fingerprints import fingerprint_all
from vibesweep.corpus.preprocess.parts import make_part, read_part, read_tried, write_part
from vibesweep.corpus.preprocess.plan import Part
from vibesweep.errors import CorpusError
from vibesweep.storage import StoragePath

SETTINGS = CorpusSettings(max_duration_s=2.0)
SECONDS = 1.5


def _wav(
    samples: np.ndarray[tuple[int], np.dtype[np.float64]],
    rate_hz: int,
    subtype: str = "PCM_16",
    container: str = "WAV",
) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, subtype=subtype, format=container)
    return buffer.getvalue()


def _noise(rate_hz: int, seconds: float = SECONDS) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.random.default_rng(0).normal(0, 0.1, int(rate_hz * seconds))


SOUND = (
    _wav(_noise(16_000), 16_000),
    _wav(_noise(24_000), 24_000, "FLOAT"),
    _wav(_noise(22_050), 22_050, "PCM_16", "FLAC"),
)
ODD = (
    b"",
    _wav(np.zeros(24_000), 24_000),
    _wav(_noise(8_000, 0.01), 8_000),
    _wav(np.full(24_000, np.nan), 24_000, "FLOAT"),
    _wav(np.clip(_noise(24_000) * 100, -1, 1), 24_000),
    _wav(_noise(24_000, 5.0), 24_000),
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A sound file with some bytes changed, mostly in its header, or cut off."""
    content = bytearray(draw(st.sampled_from(SOUND)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, 60) | st.integers(0, len(content) - 1))
        content[at] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.none() | st.integers(0, len(content)))])


AUDIO = (
    st.sampled_from(SOUND) | _damaged() | st.sampled_from(ODD) | st.binary(max_size=64) | st.none()
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
    """A row that may be sound, or wrong in any way."""
    name = draw(st.text("abc#/.", min_size=1, max_size=3) | CELL)
    speakers = draw(st.sampled_from(["1", "2", ""]) | CELL)
    seconds = draw(st.sampled_from([str(SECONDS), "", "nan", "-1", "1e9"]) | CELL)
    people = draw(st.sampled_from(["", "SPEAKER_A=Ann;SPEAKER_B=Bo", "A=;"]) | CELL)
    return Row((name, speakers, seconds, people), draw(AUDIO), draw(TEXT))


@st.composite
def damaged_tables(draw: st.DrawFn) -> str:
    """A table with characters taken out or put in."""
    text = list(table(draw(st.lists(rows(), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(text)))
        text[at : at + draw(st.integers(0, 3))] = draw(
            st.sampled_from(['"', ",", "\n", "\r", "\0", "|", ";"]) | st.characters(codec="utf-8")
        )
    return "".join(text)


def table(made: list[Row]) -> str:
    """The rows as metadata.csv; their files are named by number."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow((*COLUMNS, SPEAKERS_COLUMN))
    for number, row in enumerate(made):
        name, speakers, seconds, people = row.cells
        writer.writerow((name, f"{number}.wav", f"{number}.txt", speakers, seconds, people))
    return buffer.getvalue()


def check(text: str, made: list[Row], expected: int | None) -> None:
    """Take a corpus as far as a part: every row becomes clips or a reject, and nothing but a CorpusError is raised."""
    with tempfile.TemporaryDirectory() as folder:
        place = StoragePath.of(folder)
        (place / "metadata.csv").write_bytes(text.encode("utf-8", "surrogatepass"))
        for number, row in enumerate(made):
            for ending, content in (("wav", row.audio), ("txt", row.text)):
                if content is not None:
                    Path(folder, f"{number}.{ending}").write_bytes(content)
        try:
            metadata = read_metadata(folder)
        except CorpusError:
            assert expected is None, "a whole table is read"
            return
        assert expected in (None, len(metadata.recordings) + len(metadata.rejects))
        planned, missing = fingerprint_all(metadata.recordings, place, SETTINGS)
        assert len(planned) + len(missing) == len(metadata.recordings)
        part = Part(tuple(planned))
        write_part(make_part(part, SETTINGS), place)
        tried = read_tried(place / part.name)
        assert {*tried.used, *tried.rejects} == {item.fingerprint for item in planned}
        assert not set(tried.used) & set(tried.rejects)
        assert set(read_part(place / part.name)["recording"].to_pylist()) == {
            item.recording.id for item in planned if item.fingerprint in tried.used
        }

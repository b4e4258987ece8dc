"""The columns of the family ``mel``: each turn's phonemes, and log-mels of the sound.

Shapes: ``S`` samples, ``T`` frames, ``M`` mel bins.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from vibesweep.config import MelSettings
from vibesweep.corpus.clip_encoder import (
    ClipEncoder,
    EncodedSound,
    SoundEncoder,
    TextEncoder,
    TurnReading,
)
from vibesweep.corpus.shards.counting import counts_of, sums_of
from vibesweep.corpus.shards.schema import ARRAY, Columns
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.mel import half_precision, log_mel
from vibesweep.corpus.sound.rates import FRAMES_PER_PATCH
from vibesweep.corpus.text.language_advice import why_silent
from vibesweep.corpus.text.phonemes import PAUSES, WORD_BOUNDARY, Phonemes, phonemize
from vibesweep.corpus.text.version import TEXT_VERSION

MEL = "mel"
PHONEMES = "phonemes"
UNKNOWN_CHARACTERS = "unknown_characters"
BYTES_PER_VALUE = 2

COLUMNS = Columns(
    clip=(pa.field(MEL, ARRAY),),  # T x M
    turn=(
        pa.field(PHONEMES, pa.list_(pa.string())),
        pa.field(UNKNOWN_CHARACTERS, pa.map_(pa.string(), pa.int32())),
    ),
    prompt=(pa.field(MEL, ARRAY),),
    repeated=(f"turns.list.element.{PHONEMES}.list.element",),
)


@dataclass(frozen=True)
class MelEncoder(ClipEncoder):
    """The family's clip encoder; see :class:`vibesweep.corpus.clip_encoder.ClipEncoder`.

    Attributes:
        mel: how sound becomes log-mels.
        language: the eSpeak NG voice that reads all but Han characters.
    """

    mel: MelSettings
    language: str
    family = "mel"
    columns = COLUMNS

    @property
    def settings(self) -> Mapping[str, Any]:
        """The mel settings, the language, and how texts are read."""
        return {
            "mel": asdict(self.mel),
            "language": self.language,
            "text_version": TEXT_VERSION,
        }

    @property
    def summary(self) -> str:
        """The settings in a few words."""
        mel = self.mel
        return (
            f"{mel.sample_rate_hz} Hz, {mel.n_mels} mels, hop {mel.hop_samples},"
            f" voice {self.language}"
        )

    @property
    def fingerprint(self) -> str:
        """Hash of the settings: the columns depend on nothing else."""
        content = json.dumps([self.family, self.settings], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:32]

    @property
    def picture(self) -> tuple[str, int]:
        """A clip is drawn by its mel."""
        return MEL, self.mel.n_mels

    @property
    def sample_rate_hz(self) -> int:  # type: ignore[override]
        """Sample rate of the mel settings."""
        return self.mel.sample_rate_hz

    @property
    def level_dbfs(self) -> float:  # type: ignore[override]
        """RMS level of the mel settings."""
        return self.mel.level_dbfs

    @property
    def bytes_per_patch(self) -> int:
        """Bytes of a patch of mels in half precision."""
        return FRAMES_PER_PATCH * self.mel.n_mels * BYTES_PER_VALUE

    def open_text(self) -> PhonemeReader:
        """Make what reads texts."""
        return PhonemeReader(self.language)

    def open_sound(self, device: str) -> MelSounds:
        """Make what computes mels, always on the CPU."""
        return MelSounds(self.mel)

    def count(self, clips: pa.Table) -> Mapping[str, Mapping[str, int]]:
        """Count phoneme symbols, and characters that no language here can say."""
        turns = pc.list_flatten(clips["turns"])
        phonemes = pc.list_flatten(pc.struct_field(turns, PHONEMES))
        unknown = sums_of(pc.struct_field(turns, UNKNOWN_CHARACTERS))
        return {"symbols": counts_of(phonemes), UNKNOWN_CHARACTERS: unknown}


@dataclass(frozen=True)
class PhonemeReading(TurnReading):
    """A turn's reading that remembers its phonemes."""

    phonemes: Phonemes = field(default=Phonemes("", ()), repr=False)


class PhonemeReader(TextEncoder):
    """Reads texts as phonemes."""

    reads_in_a_language = True

    def __init__(self, language: str) -> None:
        """Read all but Han characters by this eSpeak NG voice."""
        self._language = language

    def read(self, texts: Sequence[str]) -> list[PhonemeReading]:
        """Phonemize texts in one call."""
        return [_reading(phonemes) for phonemes in phonemize(texts, self._language)]

    def count_tokens(self, turns: Sequence[tuple[str, str, TurnReading]]) -> int:
        """Count a token for each phoneme and for each turn's tag."""
        return sum(len(reading.columns[PHONEMES]) + 1 for _, _, reading in turns)

    def warnings(self, readings: Sequence[TurnReading]) -> Iterator[tuple[str, str]]:
        """Tell of characters that were left out, and of numbers that may be read otherwise."""
        unknown: Counter[str] = Counter()
        doubtful: Counter[str] = Counter()
        failed = 0
        for reading in readings:
            assert isinstance(reading, PhonemeReading)
            unknown.update(reading.phonemes.unknown)
            doubtful.update(reading.phonemes.doubtful)
            failed += reading.phonemes.not_normalised
        if unknown:
            yield "unknown_characters", _listed(unknown)
        if doubtful:
            yield "doubtful_numbers", f"read {_listed(doubtful)}"
        if failed:
            yield "not_normalised", f"{failed} stretches of the text"

    def why_silent(self, text: str) -> str:
        """Name the language to ask for where the text is in another one's letters."""
        return why_silent(text, self._language)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{name} ({count})" for name, count in counts.most_common())


def _reading(phonemes: Phonemes) -> PhonemeReading:
    silent = PAUSES | {WORD_BOUNDARY}
    return PhonemeReading(
        length=sum(symbol not in silent for symbol in phonemes.symbols),
        language=phonemes.language,
        columns={
            PHONEMES: list(phonemes.symbols),
            UNKNOWN_CHARACTERS: list(phonemes.unknown.items()),
        },
        phonemes=phonemes,
    )


class MelSounds(SoundEncoder):
    """Computes log-mels."""

    def __init__(self, mel: MelSettings) -> None:
        """Compute them by these settings."""
        self._mel = mel

    def encode(self, samples: Samples) -> EncodedSound:
        """Compute the log-mel [T, M] of a sound [S], in half precision."""
        mel = half_precision(log_mel(samples, self._mel))
        return EncodedSound(len(mel) // FRAMES_PER_PATCH, {MEL: mel.tobytes()})

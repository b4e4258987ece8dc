"""How a model family makes its columns of the shards: a contract of preprocessing and models.

Preprocessing reads tables, decodes audio, cuts long recordings and packs Parquet files. What a
model learns from (phonemes and log-mels, or a checkpoint's tokens and latents) is made by the
family's own encoder, in two steps: its :class:`TextEncoder` reads the texts, and its
:class:`SoundEncoder` encodes the samples, on GPUs where that pays. Neither torch nor ray is
imported here.

Shapes: ``S`` samples.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from vibesweep.corpus.shards.schema import Columns
from vibesweep.corpus.shards.statistics import Moments
from vibesweep.corpus.sound.arrays import Samples as Samples  # part of the contract


@dataclass(frozen=True)
class TurnReading:
    """What a family reads in the text of one turn.

    Attributes:
        length: about how many phonemes are spoken; 0 where there is nothing to say.
        language: ``zh`` where there is a Han character, else the language asked for.
        columns: the values of the family's turn columns.
    """

    length: int
    language: str
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodedSound:
    """What a family makes of one sound.

    Attributes:
        patches: latents that the sound is, each of which the model predicts once.
        columns: the values of the family's clip columns; a voice prompt keeps those that are also
            prompt columns.
    """

    patches: int
    columns: Mapping[str, Any]


class TextEncoder(ABC):
    """Reads the texts of a family's clips."""

    reads_in_a_language: bool = False
    """Whether texts are read by the rules of the language asked for, and not as they are."""

    @abstractmethod
    def read(self, texts: Sequence[str]) -> Sequence[TurnReading]:
        """Read the text of each turn; many at once, because some phonemizers are slow to start."""

    @abstractmethod
    def count_tokens(self, turns: Sequence[tuple[str, str, TurnReading]]) -> int:
        """Count the tokens before the speech of a clip of (person, text, reading) turns.

        Voice prompts are not counted.
        """

    def warnings(self, readings: Sequence[TurnReading]) -> Iterator[tuple[str, str]]:
        """Yield a (reason, detail) pair for each oddity in the texts of one recording."""
        return iter(())

    def why_silent(self, text: str) -> str:
        """Say why there is nothing to say in a text, and what to do about it."""
        return "there are no words in it"


class SoundEncoder(ABC):
    """Encodes the samples of a family's clips, its weights in memory."""

    @abstractmethod
    def encode(self, samples: Samples) -> EncodedSound:
        """Encode a sound [S] of the encoder's sample rate and level."""

    def sidecar(self) -> bytes:
        """Make the content of the family's own file beside the shards.

        It is asked of families that name one by :attr:`ClipEncoder.sidecar_file`.
        """
        raise NotImplementedError


class ClipEncoder(ABC):
    """A family's encoder by name: small enough to be sent to the processes that open it.

    Attributes:
        family: name of the model family.
        columns: columns that the family adds to clips, turns and voice prompts.
        sample_rate_hz: sample rate of the sounds it takes.
        level_dbfs: level of the speech in the sounds it takes.
        wants_gpu: whether sounds are encoded by actors with a GPU each, where the cluster has GPUs.
    """

    family: str
    columns: Columns
    sample_rate_hz: int = 24_000
    level_dbfs: float = -25.0
    wants_gpu: bool = False

    @property
    def name(self) -> str:
        """Name of the encoder, as a user would name it; paths in it are absolute."""
        return self.family

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Hash of all that the columns depend on: with an equal one no clip is encoded again."""

    @property
    @abstractmethod
    def summary(self) -> str:
        """The settings in a few words, for ``vibesweep inspect``."""

    @property
    @abstractmethod
    def picture(self) -> tuple[str, int]:
        """The array column to draw a clip by, and its number of values at a moment."""

    @property
    @abstractmethod
    def bytes_per_patch(self) -> int:
        """Bytes that a patch takes in a row."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What a reader of the shards must know about the columns, as JSON."""
        return {}

    @property
    def sidecar_file(self) -> str | None:
        """Name of the file beside the shards that :meth:`SoundEncoder.sidecar` fills, if any."""
        return None

    @abstractmethod
    def open_text(self) -> TextEncoder:
        """Load what reading texts takes."""

    @abstractmethod
    def open_sound(self, device: str) -> SoundEncoder:
        """Load what encoding sounds takes.

        Args:
            device: ``cpu`` or ``cuda``.

        Raises:
            ModelError: the weights cannot be read.
        """

    def count(self, clips: pa.Table) -> Mapping[str, Mapping[str, int]]:
        """Count what occurs in the family's columns, by kind (such as ``symbols``) and name."""
        return {}

    def measure(self, clips: pa.Table) -> Mapping[str, Moments]:
        """Take the moments of numbers in the family's columns; over training clips only."""
        return {}

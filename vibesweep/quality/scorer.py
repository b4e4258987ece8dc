"""What a scorer is: it hears a model say a passage, and gives figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.resampling import resample
from vibesweep.quality.measures import Measure


@dataclass(frozen=True, eq=False)
class Sound:
    """A waveform.

    Attributes:
        samples: mono [S].
        rate_hz: samples a second.
        cut: whether the limit on all speech ended it, not the model.
    """

    samples: Samples
    rate_hz: int
    cut: bool = False

    @property
    def seconds(self) -> float:
        """How long it is."""
        count = len(self.samples)
        return count / self.rate_hz

    def at(self, rate_hz: int) -> Samples:
        """Return the samples [S] at another rate."""
        return resample(self.samples, self.rate_hz, rate_hz)


@dataclass(frozen=True, eq=False)
class Passage:
    """A text that models are judged by, and how a person said it.

    Attributes:
        id: of the recording in its corpus.
        turns: what is said.
        people: who each tag is in the corpus.
        language: ``en``, ``zh`` and so on; empty where several are spoken.
        recording: the person's own speech.
        prompts: for each tag that has one, another recording of the person, for families that take
            voices from recordings.
    """

    id: str
    turns: tuple[Turn, ...]
    people: Mapping[str, str]
    language: str
    recording: Sound
    prompts: Mapping[str, str]

    @property
    def text(self) -> str:
        """All that is said, without tags."""
        return text_of(self.turns)


def text_of(turns: Sequence[Turn]) -> str:
    """Return all that is said in some turns, without tags."""
    texts = [turn.text for turn in turns]
    return " ".join(texts)


class Scorer(Protocol):
    """Gives figures of how a model said a passage; as a learned judge does."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The figures that it gives."""

    def score(self, spoken: Sound, passage: Passage) -> Mapping[str, float]:
        """Compare speech with its passage.

        Returns:
            A value by the name of each measure that this passage has one of.
        """

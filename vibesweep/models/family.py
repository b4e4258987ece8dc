"""What a model family is: all that vibesweep must know about a kind of model.

A family owns its model end to end, from its columns in the shards to its speech. No code outside
``models/`` asks which family it has. CONTRIBUTING.md tells how to add one.

Nothing here imports torch, so that the driver of a sweep stays light.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vibesweep.corpus.shards.manifest import check_signature
from vibesweep.corpus.text.language import DEFAULT_LANGUAGE
from vibesweep.models.recipe import Recipe

if TYPE_CHECKING:
    from torch import Tensor

    from vibesweep.config import TrialSettings
    from vibesweep.corpus.clip_encoder import ClipEncoder
    from vibesweep.corpus.recordings import Turn
    from vibesweep.corpus.shards.manifest import Manifest
    from vibesweep.models.speech_model import SpeechModel


@dataclass(frozen=True)
class SpeakingSettings:
    """How speech is sampled.

    Attributes:
        diffusion_steps: evaluations of the head for each latent.
        guidance: how far the conditioned prediction is pushed away from the unconditioned one; 1 is
            not at all, None is the family's own default.
        seed: of the noise.
        language: in which the text is read, as eSpeak NG names it; None is the one that the model
            was trained in. For families that read phonemes.
    """

    diffusion_steps: int = 10
    guidance: float | None = None
    seed: int = 0
    language: str | None = None


@dataclass(frozen=True)
class Speech:
    """What was said.

    Attributes:
        seconds: length of the speech.
        voices: who spoke, by tag: a voice of the model, or a recording.
        cut: whether the limit on all speech ended it, not the model.
        remarks: what a listener should know, a line each, such as words that were left out.
    """

    seconds: float
    voices: dict[str, str]
    cut: bool = False
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class SpeechChange:
    """How far a tuned model's speech is from its base's, for the same text and seed.

    Attributes:
        share: RMS of the difference of the latents that both predict, divided by the spread of the
            base's; None where it was not measured.
        remark: why it was not measured, or why there is next to no difference; else empty.
    """

    share: float | None
    remark: str = ""


@dataclass(frozen=True)
class TunedTrial:
    """What an export starts from.

    Attributes:
        base: address of the base that was tuned.
        weights: the trial's safetensors file, with what it trained.
        settings: what it was trained with.
        shards: address of the shards it was trained on.
        shards_signature: signature of their manifest at that time.
        voices: voice prompts by the person's name, for exports that hold some, where they are at
            hand; None has them read from the shards.
    """

    base: str
    weights: Path
    settings: TrialSettings
    shards: str
    shards_signature: str
    voices: Mapping[str, Tensor] | None = None

    def checked_shards(self) -> str:
        """Return the shards' address, for exports that take voices or scales from them.

        Raises:
            ShardsError: they are gone, or have changed since the trial.
        """
        check_signature(self.shards, self.shards_signature)
        return self.shards


class ModelFamily(ABC):
    """A kind of model.

    An address is what stands after ``family:`` in a model's name, or the whole name.
    """

    name: str
    """Name of the family, and scheme of its models' names."""

    layouts: tuple[str, ...]
    """Names of the layouts that it exports; the first is the default."""

    needs_scheme: bool = False
    """Whether its models are named with the scheme, because an address alone may be anything."""

    voices_are_recordings: bool = False
    """Whether it speaks in the voice of any recording, instead of voices that a model knows."""

    @abstractmethod
    def owns(self, folder: Path) -> bool:
        """Tell whether a folder holds a model of this family."""

    @abstractmethod
    def locate(self, address: str) -> str:
        """Make an address that processes in other folders and on other hosts understand.

        Raises:
            ModelError: there is no such model.
        """

    @abstractmethod
    def folder(self, address: str) -> Path | None:
        """Name the folder that every host must see; None where each host has its own copy."""

    @abstractmethod
    def clip_encoder(self, address: str, language: str = DEFAULT_LANGUAGE) -> ClipEncoder:
        """Choose the encoder that makes this model's columns of the shards.

        Args:
            address: of the model.
            language: what the texts are in, as eSpeak NG names it.

        Raises:
            ModelError: there is no such model, or it cannot be used.
            CorpusError: the language is unknown.
        """

    def language(self, address: str) -> str:
        """Return the language that a model was trained in, as eSpeak NG names it.

        Texts are read in it unless the user names another. Families that read texts themselves need
        none.

        Raises:
            ModelError: there is no such model, or it cannot be read.
        """
        return DEFAULT_LANGUAGE

    def recipe(self, clips: int) -> Recipe:
        """Say where a search may start, for a corpus of about this number of clips."""
        return Recipe()

    @abstractmethod
    def check_shards(self, address: str, manifest: Manifest, where: str) -> str | None:
        """Look whether a model can be tuned on shards; no weights are read.

        Returns:
            What fits, but not wholly, in one line; None where all fits.

        Raises:
            ModelError: there is no such model.
            ShardsError: the shards do not fit it.
        """

    @abstractmethod
    def load(self, address: str) -> SpeechModel:
        """Load a model on the CPU in float32, in eval mode, nothing set to train.

        Raises:
            ModelError: it cannot be read.
        """

    def skeleton(self, address: str) -> SpeechModel:
        """Make a model without weights, by which settings are checked before a sweep begins.

        Its modules have their names and shapes, on torch's meta device. A family whose models load
        at once may leave it at this, which loads one.

        Raises:
            ModelError: the model's description cannot be read.
        """
        return self.load(address)

    @abstractmethod
    def export(self, trial: TunedTrial, out: Path, layout: str) -> None:
        """Write a tuned model.

        Args:
            trial: what was trained of which base.
            out: a folder that is there and empty.
            layout: one of :attr:`layouts`.

        Raises:
            ModelError: the base or the trial cannot be read, or the layout cannot hold what was
                trained.
        """

    def speech_change(self, trial: TunedTrial, out: Path, layout: str) -> SpeechChange:
        """Measure how far what :meth:`export` wrote is from its base, read as its loaders read it.

        Args:
            trial: what was exported.
            out: the folder that was written.
            layout: of the folder.

        Raises:
            ModelError: the folder lacks tensors, or has some that no loader looks for.
        """
        return SpeechChange(None, f"the family {self.name} does not measure it")

    @abstractmethod
    def voices(self, address: str) -> tuple[str, ...]:
        """Name the voices that a model knows, in the order in which they are offered.

        Raises:
            ModelError: it cannot be read.
        """

    def lend_voices(self, address: str, lender: str, out: Path) -> str:
        """Have a model speak in the voices that another one of its shape knows.

        Args:
            address: of the model.
            lender: address of the other one.
            out: a folder to write, where it takes one.

        Returns:
            The address of a model with these voices; the model itself, where voices are recordings.

        Raises:
            ModelError: one of the models cannot be read.
        """
        return address

    @abstractmethod
    def synthesize(
        self,
        address: str,
        turns: Sequence[Turn],
        out: Path,
        voices: Mapping[str, str],
        settings: SpeakingSettings,
    ) -> Speech:
        """Speak turns and write them as a wav file.

        Args:
            address: of the model.
            turns: what is said.
            out: the wav file, in a folder that is there.
            voices: for each tag that has one, a voice of the model, or a recording for families
                that take voices from these.
            settings: how it is sampled.

        Raises:
            ModelError: the model cannot be read, or lacks much of the text's phonemes.
            SpeechError: there is nothing to say, an unknown voice, or more text than fits.
            ResourceError: memory does not hold the model.
        """

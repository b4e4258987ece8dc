"""A model family of one's own, whole: letters in, the loudness of four bands out, a GRU between.

    pip install -e examples/own_family        # its entry point makes vibesweep find the family
    python examples/own_family/own_family.py own_base
    vibesweep run examples/own_family/space.py

A family owns its model from the columns in the shards to the speech; vibesweep does the rest.
It hums rather than speaks. What it shows is where each part goes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import soundfile
import torch
from torch import Tensor, nn

from vibesweep.corpus import clip_encoder as contract
from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.shards.schema import ARRAY, Clip, Columns
from vibesweep.models.bundle import Bundle, BundleModel, save_bundle
from vibesweep.models.bundle_family import BundleFamily
from vibesweep.models.clips import PLAIN, Augmentation, EncodedClip
from vibesweep.models.diffusion import Flow, diffusion_loss
from vibesweep.models.draws import clip_rng, normal, training_levels
from vibesweep.models.family import SpeakingSettings, Speech
from vibesweep.models.losses import STOP_CLASS_WEIGHTS, Losses
from vibesweep.models.speech_model import Collator

RATE_HZ = 24_000
HOP = 3_200  # samples a patch, so that there are 7.5 patches a second
BANDS = 4
HIDDEN = 16
LETTERS = 128
Clips = Sequence[EncodedClip]


# 1. From a recording to columns of the shards: done once, before the first trial


def letters(text: str) -> list[int]:
    """Return a text's letters as ids."""
    return [ord(char) % LETTERS for char in text if char.isalpha()]


@dataclass(frozen=True)
class OwnEncoder(contract.ClipEncoder, contract.TextEncoder, contract.SoundEncoder):
    """Reads texts as letters, and sound as its level in four bands."""

    family = "own"
    columns = Columns(clip=(pa.field("bands", ARRAY),))
    fingerprint = "own 1"
    summary = "4 bands every 3200 samples"
    picture = ("bands", BANDS)
    bytes_per_patch = BANDS * 2

    def open_text(self) -> OwnEncoder:
        """Return what reads texts, in the process that does."""
        return self

    def open_sound(self, device: str) -> OwnEncoder:
        """Return what hears sound, in the process that does."""
        return self

    def read(self, texts: Sequence[str]) -> list[contract.TurnReading]:
        """Say how long each text is."""
        return [contract.TurnReading(len(letters(text)), "en") for text in texts]

    def count_tokens(self, turns: Sequence[tuple[str, str, contract.TurnReading]]) -> int:
        """Count what a clip's text takes in the sequence."""
        return sum(reading.length + 1 for _, _, reading in turns)

    def encode(self, samples: contract.Samples) -> contract.EncodedSound:
        """Return the log levels [P, 4] of sound [S], as bytes."""
        patches = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
        magnitudes = np.abs(np.fft.rfft(patches))[:, 1:]
        levels = magnitudes.reshape(len(patches), BANDS, -1).mean(-1)
        bands = np.log(levels + 1e-3).astype(np.float16)
        return contract.EncodedSound(len(patches), {"bands": bands.tobytes()})


# 2. From clips to a batch: whatever is random is drawn from the clip's name, seed and epoch


@dataclass(frozen=True)
class Example:
    """One clip as the network takes it: ids [L], latents and noise [P, 4], levels [P]."""

    ids: Tensor
    latents: Tensor
    noise: Tensor
    levels: Tensor


class OwnBatch(list[Example]):
    """Clips that are computed one after the other."""

    @property
    def tokens(self) -> int:
        """How long the sequences are, in all."""
        return sum(len(example.ids) + len(example.latents) for example in self)

    def to(self, device: str) -> OwnBatch:
        """Stay on the CPU, where a network of this size belongs."""
        return self


class OwnCollator(Collator):
    """Draws noise and levels for clips."""

    def training(
        self, clips: Clips, seed: int, epoch: int, augmentation: Augmentation = PLAIN
    ) -> OwnBatch:
        """Make a batch for one step."""
        batch = OwnBatch()
        for clip in clips:
            rng = clip_rng(clip.id, seed, epoch)
            ids = [0, *(letter for _, turn in clip.turns for letter in turn)]
            noise = normal(rng, clip.patches, BANDS)
            levels = training_levels(rng, clip.patches)
            batch.append(Example(torch.tensor(ids), clip.latents, noise, levels))
        return batch

    def validation(self, clips: Clips, repeats: int, draw: int = 0) -> OwnBatch:
        """Make a batch whose noise is the same for all trials."""
        return self.training(clips, draw, 0)


# 3. From a batch to losses


class OwnModel(BundleModel):
    """A GRU over letters and latents, a diffusion head, and a head that says when to stop."""

    family = "own"
    heads = ("head", "stop")

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(LETTERS, HIDDEN)
        self.connector = nn.Linear(BANDS, HIDDEN)
        self.backbone = nn.GRU(HIDDEN, HIDDEN, batch_first=True)
        self.head = nn.Linear(BANDS + 1 + HIDDEN, BANDS)
        self.stop = nn.Linear(HIDDEN, 2)

    def predict(self, noisy: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """Predict the flow [P, 4] of noisy latents [P, 4] at times [P] under conditions [P, H]."""
        return cast(Tensor, self.head(torch.cat([noisy, times[:, None] / 1_000, conditions], 1)))

    def states(self, ids: Tensor, latents: Tensor) -> Tensor:
        """Return the states [P + 1, H] before each latent, and after the last."""
        sequence = torch.cat([self.letters(ids), self.connector(latents)])
        outputs, _ = self.backbone(sequence[None])
        return cast(Tensor, outputs[0][len(ids) - 1 :])

    def forward(self, batch: OwnBatch) -> Losses:
        """Sum the losses. The condition of a latent is the state before it, which has not seen it.

        Both choices are taught: to go on before each latent, and to stop after the last.
        """
        diffusion, stop = torch.zeros(()), torch.zeros(())
        go_on, end = STOP_CLASS_WEIGHTS
        for clip in batch:
            states = self.states(clip.ids, clip.latents)
            diffusion = diffusion + diffusion_loss(
                self.predict, Flow(), clip.latents, states[:-1], clip.noise, clip.levels
            )
            choices = self.stop(states).log_softmax(-1)
            stop = stop - go_on * choices[:-1, 0].sum() - end * choices[-1, 1]
        return Losses(diffusion, stop)

    def encode(self, clip: Clip) -> EncodedClip:
        """Read a clip's columns."""
        bands = torch.from_numpy(clip.columns["bands"].astype(np.float32)).view(-1, BANDS)
        people = [clip.people.index(turn.speaker) for turn in clip.turns]
        texts = [tuple(letters(turn.text)) for turn in clip.turns]
        turns = tuple(zip(people, texts, strict=True))
        return EncodedClip(clip.id, clip.people, turns, bands, ())

    def collator(self, voices: Clips) -> OwnCollator:
        """Return what makes batches; this family has no voice prompts."""
        return OwnCollator()

    def voice_prompts(self, clips: Clips) -> dict[str, Tensor]:
        """Return what a bundle keeps of each person: the first half second."""
        return {person: clip.latents[:4] for clip in clips for person in clip.people}


# 4. From text to sound, and the name under which all this is found


class OwnFamily(BundleFamily):
    """The family; a bundle's loading, tuning and exporting it inherits."""

    name = "own"

    def network(self) -> type[BundleModel]:
        """Return the class of the network."""
        return OwnModel

    def clip_encoder(self, address: str, language: str = "en-us") -> OwnEncoder:
        """Return what makes shards."""
        return OwnEncoder()

    def speak(
        self,
        bundle: Bundle,
        turns: Sequence[Turn],
        voices: dict[str, str],
        out: Path,
        settings: SpeakingSettings,
    ) -> Speech:
        """Hum the first turn: a patch for each letter, a tone for each band."""
        model, ids = cast(OwnModel, bundle.model), torch.tensor(letters(turns[0].text))
        states, _ = model.backbone(model.letters(ids))
        zeros = torch.zeros(len(ids), BANDS)
        bands = model.predict(zeros, zeros[:, 0], states).detach().numpy()
        tones = np.sin(np.outer(np.arange(HOP), np.linspace(0.1, 1.0, BANDS)))
        sound = (np.exp(bands) @ tones.T / HOP).reshape(-1)
        soundfile.write(out, sound, RATE_HZ, format="WAV")
        return Speech(len(sound) / RATE_HZ, voices)


if __name__ == "__main__":
    torch.manual_seed(0)
    save_bundle(OwnModel(), {}, Path(sys.argv[1]))  # an untouched base, which a sweep then tunes

"""A third model family in one file: letters in, the loudness of four bands out, a GRU between."""

from __future__ import annotations

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
from vibesweep.models.bundle import Bundle, BundleModel
from vibesweep.models.bundle_family import BundleFamily
from vibesweep.models.clips import PLAIN, Augmentation, EncodedClip
from vibesweep.models.diffusion import Flow, diffusion_loss
from vibesweep.models.draws import clip_rng, normal, training_levels
from vibesweep.models.family import SpeakingSettings, Speech
from vibesweep.models.losses import STOP_CLASS_WEIGHTS, Losses
from vibesweep.models.speech_model import Collator

RATE_HZ, HOP, BANDS, HIDDEN, LETTERS = 24_000, 3_200, 4, 16, 128
Clips = Sequence[EncodedClip]


def letters(text: str) -> list[int]:
    return [ord(char) % LETTERS for char in text if char.isalpha()]


@dataclass(frozen=True)
class ToyEncoder(contract.ClipEncoder, contract.TextEncoder, contract.SoundEncoder):
    family = "toy"
    columns = Columns(clip=(pa.field("bands", ARRAY),))
    fingerprint = "toy 1"
    summary = "4 bands every 3200 samples"
    picture = ("bands", BANDS)
    bytes_per_patch = BANDS * 2

    def open_text(self) -> ToyEncoder:
        return self

    def open_sound(self, device: str) -> ToyEncoder:
        return self

    def read(self, texts: Sequence[str]) -> list[contract.TurnReading]:
        return [contract.TurnReading(len(letters(text)), "en") for text in texts]

    def count_tokens(self, turns: Sequence[tuple[str, str, contract.TurnReading]]) -> int:
        return sum(reading.length + 1 for _, _, reading in turns)

    def encode(self, samples: contract.Samples) -> contract.EncodedSound:
        patches = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)
        spectra = np.abs(np.fft.rfft(patches))[:, 1:].reshape(len(patches), BANDS, -1)
        bands = np.log(spectra.mean(-1) + 1e-3).astype(np.float16)
        return contract.EncodedSound(len(patches), {"bands": bands.tobytes()})


class ToyBatch(list[tuple[Tensor, Tensor, Tensor, Tensor]]):  # ids, latents, noise, levels
    def to(self, device: str) -> ToyBatch:
        return self


class ToyCollator(Collator):
    def training(
        self, clips: Clips, seed: int, epoch: int, augmentation: Augmentation = PLAIN
    ) -> ToyBatch:
        batch = ToyBatch()
        for clip in clips:
            rng = clip_rng(clip.id, seed, epoch)
            ids = torch.tensor([0, *(letter for _, turn in clip.turns for letter in turn)])
            noise = normal(rng, clip.patches, BANDS)
            batch.append((ids, clip.latents, noise, training_levels(rng, clip.patches)))
        return batch

    def validation(self, clips: Clips, repeats: int, draw: int = 0) -> ToyBatch:
        return self.training(clips, draw, 0)


class ToyModel(BundleModel):
    family = "toy"
    heads = ("head", "stop")

    def __init__(self) -> None:
        super().__init__()
        self.letters = nn.Embedding(LETTERS, HIDDEN)
        self.connector = nn.Linear(BANDS, HIDDEN)
        self.backbone = nn.GRU(HIDDEN, HIDDEN, batch_first=True)
        self.head = nn.Linear(BANDS + 1 + HIDDEN, BANDS)
        self.stop = nn.Linear(HIDDEN, 2)

    def predict(self, noisy: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        return cast(Tensor, self.head(torch.cat([noisy, times[:, None] / 1_000, conditions], 1)))

    def states(self, ids: Tensor, latents: Tensor) -> Tensor:
        sequence = torch.cat([self.letters(ids), self.connector(latents)])
        return cast(Tensor, self.backbone(sequence[None])[0][0][len(ids) - 1 :])

    def forward(self, batch: ToyBatch) -> Losses:
        diffusion, stop, (go_on, end) = torch.zeros(()), torch.zeros(()), STOP_CLASS_WEIGHTS
        for ids, latents, noise, levels in batch:
            states = self.states(ids, latents)
            loss = diffusion_loss(self.predict, Flow(), latents, states[:-1], noise, levels)
            choices = self.stop(states).log_softmax(-1)
            diffusion = diffusion + loss
            stop = stop - go_on * choices[:-1, 0].sum() - end * choices[-1, 1]
        return Losses(diffusion, stop)

    def encode(self, clip: Clip) -> EncodedClip:
        bands = torch.from_numpy(clip.columns["bands"].astype(np.float32)).view(-1, BANDS)
        turns = tuple((clip.people.index(t.speaker), tuple(letters(t.text))) for t in clip.turns)
        return EncodedClip(clip.id, clip.people, turns, bands, ())

    def collator(self, voices: Clips) -> ToyCollator:
        return ToyCollator()

    def voice_prompts(self, clips: Clips) -> dict[str, Tensor]:
        return {person: clip.latents[:4] for clip in clips for person in clip.people}


class ToyFamily(BundleFamily):
    name = "toy"

    def network(self) -> type[BundleModel]:
        return ToyModel

    def clip_encoder(self, address: str, language: str = "en-us") -> ToyEncoder:
        return ToyEncoder()

    def speak(
        self,
        bundle: Bundle,
        turns: Sequence[Turn],
        voices: dict[str, str],
        out: Path,
        settings: SpeakingSettings,
    ) -> Speech:
        model, ids = cast(ToyModel, bundle.model), torch.tensor(letters(turns[0].text))
        states, zeros = model.backbone(model.letters(ids)), torch.zeros(len(ids), BANDS)
        spoken = model.predict(zeros, zeros[:, 0], states[0]).detach()
        tones = np.sin(np.outer(np.arange(HOP), np.linspace(0.1, 1.0, BANDS)))
        sound = (np.exp(spoken.numpy()) @ tones.T / HOP).reshape(-1)
        soundfile.write(out, sound, RATE_HZ, format="WAV")
        return Speech(len(sound) / RATE_HZ, voices)

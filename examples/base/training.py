"""The training of a base: steps of one shape, by the clock."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from examples.base.clips import Chunk
from examples.base.stock import GrowingSpeech, Reading, Row, encoded
from vibesweep.config import TrialSettings
from vibesweep.models.bundle import save_bundle
from vibesweep.models.clips import EncodedClip
from vibesweep.models.losses import LossNormalizer
from vibesweep.models.mel.batch import MelBatch
from vibesweep.models.mel.model import MelModel
from vibesweep.training.compute import compile_for_one_shape
from vibesweep.training.optim.averaging import build_averaging
from vibesweep.training.optim.flat import FlatParameters
from vibesweep.training.optim.optimizers import build_optimizer
from vibesweep.training.optim.schedules import SCHEDULES, share_of_peak
from vibesweep.training.precision import autocast
from vibesweep.training.rows import EagerRows, GraphedRows, Rows
from vibesweep.training.validation import validation_batches, validation_loss
from vibesweep.training.workers import World

SETTINGS = TrialSettings(learning_rate=1.5e-3, ema_decay=0.999, precision="bf16")
WARMUP_STEPS = 500
STOP_WEIGHT = 0.2
LARGEST_GRAD_NORM = 1.0
LOG_EVERY_STEPS = 500
SAVE_EVERY_S = 120.0
TIME_TICKS = 10_000
"""The learning rate falls with the time, in so many ticks."""
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LOADERS = 9
VALIDATION_CLIPS = 256
VALIDATION = "val"
VOICES = 8


def learning_rate(step: int, share_of_time: float) -> float:
    """Return the rate of a step: a warm-up in steps, and a cosine over the time."""
    warm = min((step + 1) / WARMUP_STEPS, 1.0)
    tick = int(share_of_time * TIME_TICKS)
    return SETTINGS.learning_rate * warm * share_of_peak(SCHEDULES["cosine"], tick, TIME_TICKS)


class Training:
    """A training that ends with its time, and saves what it has every two minutes."""

    def __init__(
        self,
        model: MelModel,
        chunks: Sequence[Chunk],
        reading: Reading,
        out: Path,
        weight_decay: float,
    ) -> None:
        """Put the model on the device."""
        self._chunks = chunks
        self._reading = reading
        self._out = out
        self._model = model.to(DEVICE).train()
        self._flat = FlatParameters(model)
        settings = replace(SETTINGS, weight_decay=weight_decay)
        self._optimizer = build_optimizer(self._flat, settings)
        self._averaging = build_averaging(model, self._optimizer, SETTINGS)
        self._rows = self._make_rows()
        self._figures: dict[str, Any] = {}

    def _make_rows(self) -> Rows:
        if DEVICE == "cpu":
            return EagerRows(self._model, nullcontext())
        compile_for_one_shape(self._model.layers())
        return GraphedRows(self._model, autocast(SETTINGS, DEVICE))

    def run(self, seconds: float) -> None:
        """Train for so many seconds, and save the averaged model as a bundle."""
        began = saved = 0.0
        with (self._out / "losses.jsonl").open("w") as lines:
            for step, (batch, normalizer) in enumerate(self._loader()):
                now = time.perf_counter()
                if step == 0:
                    began = saved = now  # the loader's processes take a while to start
                share_of_time = (now - began) / seconds
                if share_of_time >= 1:
                    break
                sums = self._step(batch, normalizer, learning_rate(step, share_of_time))
                if step % LOG_EVERY_STEPS == 0:
                    self._figures = self._told(step, sums, normalizer, now - began)
                    print(json.dumps(self._figures), file=lines, flush=True)
                if now - saved > SAVE_EVERY_S:
                    self.save({})
                    saved = now

    def _told(
        self, step: int, sums: Tensor, normalizer: LossNormalizer, seconds: float
    ) -> dict[str, Any]:
        """Print and return how far the training is; end it where the loss is no number."""
        loss = sums[0].item() / normalizer.patches
        if not np.isfinite(loss):
            raise SystemExit(f"the loss of step {step} is {loss}")
        figures = {"step": step, "diffusion_loss": round(loss, 4), "seconds": round(seconds, 1)}
        print(figures, flush=True)
        return figures

    def _loader(self) -> DataLoader[Row]:
        return DataLoader(
            GrowingSpeech(self._chunks, self._reading),
            batch_size=None,
            num_workers=min(LOADERS, os.cpu_count() or 1),
            multiprocessing_context="spawn",
            prefetch_factor=4,
            in_order=False,  # a process may have nothing yet, or nothing but held-out chunks
            pin_memory=DEVICE == "cuda",
        )

    def _step(self, batch: MelBatch, normalizer: LossNormalizer, rate: float) -> Tensor:
        """Take a step; return the sums of its losses [2]."""
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        gradient = self._flat.gradient
        gradient.zero_()
        factors = (1 / normalizer.patches, STOP_WEIGHT / normalizer.stop_mass)
        sums = self._rows.add_gradient(batch, factors)
        norm = torch.linalg.vector_norm(gradient)
        # No comparison, which a GPU would be waited for
        scale = LARGEST_GRAD_NORM / norm.clamp_min(LARGEST_GRAD_NORM)
        gradient.mul_(scale)
        self._optimizer.step()
        self._averaging.update()
        return sums

    def save(self, facts: dict[str, Any]) -> None:
        """Write the averaged model as a bundle, with facts about it."""
        model = self._model.eval()
        with self._averaging.averaged(), eager():
            loss = self._validated()
            base = self._out / "base"
            save_bundle(model, self._voices(), base, torch.float16)
        known = {**self._figures, "loss_val": round(loss, 4), **facts}
        (base / "training.json").write_text(json.dumps(known, indent=1) + "\n")
        print(json.dumps(known), flush=True)
        model.train()

    def _clips(self) -> list[EncodedClip]:
        """Return clips of people whom the training does not hear."""
        spoken = [chunk for chunk in self._chunks if chunk.listing.exists()]
        found = [clip for chunk in spoken for clip in encoded(chunk, self._reading, VALIDATION)]
        return found[:VALIDATION_CLIPS]

    def _validated(self) -> float:
        """Return the validation loss, with the same fixed weights as a trial's."""
        clips = self._clips()
        repeats = self._reading.shape.noise_repeats
        collator = self._model.collator(clips)
        batches = validation_batches(collator, clips, DEVICE, repeats)
        return validation_loss(self._model, batches, World(device=DEVICE))

    def _voices(self) -> dict[str, Tensor]:
        """Return voice prompts of people unlike each other, so that the base can be heard."""
        prompts = self._model.voice_prompts(self._clips())
        names = sorted(prompts)
        chosen = names[:: max(1, len(names) // VOICES)][:VOICES]
        return {name: prompts[name] for name in chosen}


@contextmanager
def eager() -> Iterator[None]:
    """Compile nothing in the block."""
    with torch.compiler.set_stance("force_eager"):
        yield

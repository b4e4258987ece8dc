"""What encoding once saves: a training step on features from the shards, and the same step with both encoders run in it.

    python -m tests.benchmarks.encode_once [CHECKPOINT]

Without a checkpoint, one of the released 1.5B's size with random weights is made on a GPU, and a small one on a CPU. Both sides train
the same LoRA trial on the same clips; the one that encodes does what fine-tuning scripts do, in their favour: a whole batch at once,
without gradients, in bfloat16 on a GPU, from waveforms that lie in memory, decoded and resampled.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from tests import vibe
from tests.benchmarks.measure import Measure, print_measures
from tests.checkpoint import write_checkpoint
from vibesweep.config import TrialSettings
from vibesweep.corpus.shards.schema import Clip
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.encoder import OpenVibeVoiceEncoder
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

RATE_HZ, CLIPS, BATCH = 24_000, 10, 4
SECONDS = 10 if torch.cuda.is_available() else 2
STEPS, WARM_UP = 8, 2
LEAST_GAIN = 1.2

Waves = list[npt.NDArray[np.float32]]


def clips_of(encoder: OpenVibeVoiceEncoder, seconds: int) -> tuple[Waves, list[Clip], float]:
    """Sound, its rows with features, and the seconds that encoding took."""
    rng = np.random.default_rng(0)
    waves = [rng.normal(0, 0.05, seconds * RATE_HZ).astype(np.float32) for _ in range(CLIPS)]
    encoder.encode(waves[0])  # the first to use each kernel
    began = time.perf_counter()
    features = [encoder.encode(wave) for wave in waves]
    took_s = time.perf_counter() - began
    rows = []
    for row, found in zip(vibe.rows(CLIPS), features, strict=True):
        turns = tuple(
            dataclasses.replace(turn, start_s=at * seconds / 2, end_s=(at + 1) * seconds / 2)
            for at, turn in enumerate(row.turns)
        )
        rows.append(
            dataclasses.replace(
                row,
                duration_s=float(seconds),
                acoustic=found.acoustic,
                semantic=found.semantic,
                turns=turns,
            )
        )
    return waves, rows, took_s


class InStep:
    """Both encoders, run on each batch of a trial."""

    def __init__(self, encoder: OpenVibeVoiceEncoder, waves: Waves, device: str) -> None:
        kind = torch.bfloat16 if device == "cuda" else torch.float32
        self._encoders = [part.to(kind) for part in (encoder._acoustic, encoder._semantic)]
        self._waves = torch.from_numpy(np.stack(waves[:BATCH]))[:, None].to(kind)
        self._device = device

    @torch.no_grad()
    def __call__(self) -> None:
        """Encode as many clips as a step has."""
        for encoder in self._encoders:
            encoder(self._waves.to(self._device, non_blocking=True))


def timed_steps(run: TrialRun, beforehand: Any, device: str) -> list[float]:
    """Seconds of each step, the first few left out."""
    seconds = []
    for _ in range(WARM_UP + STEPS):
        began = time.perf_counter()
        beforehand()
        run.train(run.step + 1)
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds[WARM_UP:]


@contextmanager
def a_checkpoint(device: str) -> Iterator[Path]:
    """The one that was named, or one with random weights."""
    if len(sys.argv) > 1:
        yield Path(sys.argv[1])
        return
    with tempfile.TemporaryDirectory(prefix="encode_once") as folder:
        yield write_checkpoint(
            Path(folder) / "checkpoint", size="1.5B" if device == "cuda" else None, device=device
        )


def main() -> None:
    """Measure and tell."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    settings = TrialSettings(
        lora_rank=16,
        lora_head="full",
        batch_clips=BATCH,
        precision="bf16" if device == "cuda" else "float32",
    )
    with a_checkpoint(device) as folder, tempfile.TemporaryDirectory() as work:
        checkpoint = Checkpoint.open(str(folder))
        encoder = OpenVibeVoiceEncoder(checkpoint, device)
        parameters = sum(
            part.numel()
            for side in (encoder._acoustic, encoder._semantic)
            for part in side.parameters()
        )
        waves, rows, encode_s = clips_of(encoder, SECONDS)
        context = WorkerContext.open(
            f"vibevoice:{folder}",
            vibe.write_shards(Path(work) / "shards", folder, clips=rows),
            World(device=device),
        )
        in_step = InStep(encoder, waves, device)
        sides: dict[str, list[float]] = {"features": [], "encoders": []}
        for _ in range(2):  # in turn, since machines drift
            for name, beforehand in (("features", lambda: None), ("encoders", in_step)):
                run = TrialRun(context, settings, 2 * (WARM_UP + STEPS))
                sides[name] += timed_steps(run, beforehand, device)
                run.close()
    size = (
        "given checkpoint"
        if len(sys.argv) > 1
        else "1.5B's sizes"
        if device == "cuda"
        else "a small checkpoint"
    )
    with_features, with_encoders = median(sides["features"]), median(sides["encoders"])
    print_measures(
        f"A LoRA step of {BATCH} clips of {SECONDS} s on {size}, features from the shards and encoders in the step",
        [
            Measure("encoders' parameters that no trial loads, millions", parameters / 1e6),
            Measure("speech encoded once, seconds a second", CLIPS * SECONDS / encode_s),
            Measure("step on features, median, s", with_features),
            Measure("step with encoders in it, median, s", with_encoders),
            Measure(
                "step with encoders over step on features",
                with_encoders / with_features,
                LEAST_GAIN,
            ),
        ],
    )


if __name__ == "__main__":
    main()

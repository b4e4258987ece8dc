"""What encoding once saves: a step on features from the shards, and one with both encoders in it.

    python -m tests.benchmarks.encode_once [CHECKPOINT]

Without a checkpoint, one of the released 1.5B's size with random weights is made on a GPU, or a
small one on a CPU. Both sides train the same LoRA trial on the same clips. The side that encodes
does what fine-tuning scripts do, at their best: a whole batch at once, without gradients, in
bfloat16 on a GPU, from decoded and resampled waveforms in memory.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import numpy.typing as npt
import torch

from tests import vibe
from tests.benchmarks.measure import Measure, print_measures
from tests.checkpoint import write_checkpoint
from vibesweep.config import TrialSettings
from vibesweep.corpus.clip_encoder import EncodedSound
from vibesweep.corpus.shards.schema import Clip
from vibesweep.models.registry import ModelRef
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.sound_encoder import VibeVoiceSounds
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

RATE_HZ = 24_000
CLIPS = 10
BATCH_CLIPS = 4
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SECONDS = 10 if DEVICE == "cuda" else 2
STEPS = 8
WARM_UP_STEPS = 2
ROUNDS = 2
LEAST_GAIN = 1.2

Waves = list[npt.NDArray[np.float32]]


def noise_waves() -> Waves:
    """Make a waveform of noise for each clip."""
    rng = np.random.default_rng(0)
    samples = SECONDS * RATE_HZ
    return [rng.normal(0, 0.05, samples).astype(np.float32) for _ in range(CLIPS)]


def timed_encoding(encoder: VibeVoiceSounds, waves: Waves) -> tuple[list[EncodedSound], float]:
    """Encode the waveforms, and return what was made of them and the seconds that it took."""
    encoder.encode(waves[0])  # the first to use each kernel
    began = time.perf_counter()
    sounds = [encoder.encode(wave) for wave in waves]
    return sounds, time.perf_counter() - began


def clips_of(sounds: list[EncodedSound]) -> list[Clip]:
    """Return clips with these sounds, each of two turns."""
    half = SECONDS / 2
    clips = []
    for clip, sound in zip(vibe.clips(CLIPS), sounds, strict=True):
        turns = [
            dataclasses.replace(turn, start_s=at * half, end_s=(at + 1) * half)
            for at, turn in enumerate(clip.turns)
        ]
        columns = {name: np.frombuffer(value, np.float16) for name, value in sound.columns.items()}
        clips.append(
            dataclasses.replace(
                clip,
                duration_s=float(SECONDS),
                patches=sound.patches,
                turns=tuple(turns),
                columns=columns,
            )
        )
    return clips


class InStep:
    """Both encoders, run on each batch of a trial."""

    def __init__(self, encoder: VibeVoiceSounds, waves: Waves) -> None:
        dtype = torch.bfloat16 if DEVICE == "cuda" else torch.float32
        self._encoders = [part.to(dtype) for part in (encoder._acoustic, encoder._semantic)]
        self._waves = torch.from_numpy(np.stack(waves[:BATCH_CLIPS]))[:, None].to(dtype)

    @torch.no_grad()
    def __call__(self) -> None:
        """Encode as many clips as a step has."""
        for encoder in self._encoders:
            encoder(self._waves.to(DEVICE, non_blocking=True))


def nothing() -> None:
    """Do what a step on features does beforehand."""


def timed_steps(run: TrialRun, beforehand: Callable[[], None]) -> list[float]:
    """Return the seconds of each step, without the first few."""
    seconds = []
    for _ in range(WARM_UP_STEPS + STEPS):
        began = time.perf_counter()
        beforehand()
        run.train(run.step + 1)
        if DEVICE == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return seconds[WARM_UP_STEPS:]


@contextmanager
def checkpoint_folder() -> Iterator[Path]:
    """Yield the checkpoint that was named, or one with random weights."""
    if len(sys.argv) > 1:
        yield Path(sys.argv[1])
        return
    size = "1.5B" if DEVICE == "cuda" else None
    with tempfile.TemporaryDirectory(prefix="encode_once") as folder:
        yield write_checkpoint(Path(folder) / "checkpoint", size=size, device=DEVICE)


def step_times(context: WorkerContext, in_step: InStep) -> dict[str, list[float]]:
    """Return the seconds of both sides' steps, measured in turn because machines drift."""
    settings = TrialSettings(
        lora_rank=16,
        lora_head="full",
        batch_clips=BATCH_CLIPS,
        precision="bf16" if DEVICE == "cuda" else "float32",
    )
    sides: dict[str, Callable[[], None]] = {"features": nothing, "encoders": in_step}
    times: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, beforehand in sides.items():
            run = TrialRun(context, settings, 2 * (WARM_UP_STEPS + STEPS))
            times[name] += timed_steps(run, beforehand)
            run.close()
    return times


def size_name() -> str:
    """Return what the title calls the checkpoint."""
    if len(sys.argv) > 1:
        return "the given checkpoint"
    return "the 1.5B's sizes" if DEVICE == "cuda" else "a small checkpoint"


def main() -> None:
    """Run both sides and print the figures."""
    with checkpoint_folder() as folder, tempfile.TemporaryDirectory() as work:
        encoder = VibeVoiceSounds(Checkpoint.open(str(folder)), DEVICE)
        parts = [*encoder._acoustic.parameters(), *encoder._semantic.parameters()]
        millions = sum(part.numel() for part in parts) / 1e6
        waves = noise_waves()
        sounds, encoding_s = timed_encoding(encoder, waves)
        shards = vibe.write_shards(Path(work) / "shards", folder, made=clips_of(sounds))
        model = ModelRef.parse(f"vibevoice:{folder}")
        context = WorkerContext.open(model, shards, World(device=DEVICE))
        times = step_times(context, InStep(encoder, waves))
    with_features = median(times["features"])
    with_encoders = median(times["encoders"])
    gain = with_encoders / with_features
    step = f"A LoRA step of {BATCH_CLIPS} clips of {SECONDS} s on {size_name()}"
    print_measures(
        f"{step}, features from the shards and encoders in the step",
        [
            Measure("encoders' parameters that no trial loads, millions", millions),
            Measure("speech encoded once, seconds a second", CLIPS * SECONDS / encoding_s),
            Measure("step on features, median, s", with_features),
            Measure("step with encoders in it, median, s", with_encoders),
            Measure("step with encoders over step on features", gain, LEAST_GAIN),
        ],
    )


if __name__ == "__main__":
    main()

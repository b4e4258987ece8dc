"""One trial of VibeVoice's sizes on one GPU, against plain peft on the same clips, in one run.

    python -m tests.benchmarks.gpu [SIZE:CLIPS[:TRIALS] ...]       such as 1.5B:1 1.5B:8:8 7B:1

Weights are random, clips are 18 to 20 s of made-up features. Plain peft is what trainers do: the
model eager under bf16 autocast, torch's AdamW over its parameters, the step's clips ready on the
GPU. Ours is a trial's own loop: it draws prompts and noise, makes the rows, and watches for
divergence. LoRA of rank 16 on all projections with dropout, and the diffusion head in full. Several
trials train at once, each in its thread, as on a lane with as many ``trials_per_lane``.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import threading
import time
from collections.abc import Callable, Generator
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import torch

from tests.benchmarks.measure import Measure, print_measures
from tests.benchmarks.plain_peft import PlainPeft
from tests.checkpoint import released_config
from tests.threads import run_in_threads
from vibesweep.config import TrialSettings
from vibesweep.corpus.sound.rates import LATENT_RATE_HZ
from vibesweep.models.vibevoice.clips import EncodedVibeVoiceClip, Silence
from vibesweep.models.vibevoice.model import VibeVoiceModel
from vibesweep.training import worker_context
from vibesweep.training.data.feed import MemoryFeed
from vibesweep.training.data.index import Index, RowGroup
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.turns import Turns
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

CASES = ("1.5B:1", "1.5B:8")
CLIPS = 128
SCRIPT_TOKENS = 95
PATCHES = (135, 150)
STEPS = 30
WARM_UP_STEPS = 3
AGREEING_LAYERS = 4
SETTINGS = TrialSettings(
    lora_rank=16, lora_head="full", precision="bf16", learning_rate=1e-4, warmup_fraction=0.0
)
NEXT = dataclasses.replace(SETTINGS, lora_rank=8, learning_rate=3e-4, lora_dropout=0.1, seed=1)
DEVICE = "cuda:0" if torch.cuda.is_available() else "cpu"
GIB = 2**30


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def peak_gib() -> float:
    """Return the most memory that was in use since this was last asked."""
    if not torch.cuda.is_available():
        return 0.0
    peak = torch.cuda.max_memory_allocated() / GIB
    torch.cuda.reset_peak_memory_stats()
    return peak


def median_s(step: Callable[[], Any], repeats: int = STEPS) -> float:
    """Return the median time of a call, the first few left out."""
    times = []
    for _ in range(WARM_UP_STEPS + repeats):
        synchronize()
        began = time.perf_counter()
        step()
        synchronize()
        times.append(time.perf_counter() - began)
    return statistics.median(times[WARM_UP_STEPS:])


def matrix_rate() -> float:
    """Return the operations a second of a large product in bf16."""
    size = 8_192 if torch.cuda.is_available() else 512
    left, right = (torch.randn(size, size, device=DEVICE, dtype=torch.bfloat16) for _ in "ab")
    return 2.0 * size**3 / median_s(lambda: left @ right)


def base_of(size: str, layers: int | None = None) -> VibeVoiceModel:
    """Make a base of a released size on the device, in bf16 where that is a GPU."""
    config: Any = released_config(size)
    for name, token in zip(("bos", "eos"), (151_652, 151_653), strict=True):
        setattr(config, f"audio_{name}_token_id", token)
    config.audio_token_id, config.eos_token_id = 151_654, 151_643
    torch.manual_seed(0)
    with torch.device(DEVICE):
        base = VibeVoiceModel(config)
    if layers is not None:
        del base.language_model.layers[layers:]
    base._silence = Silence.none(64, 128)  # on the CPU, where clips are
    if DEVICE != "cpu":
        base.stored_dtype = torch.bfloat16
        for part in base.parameters():
            part.data = part.data.to(torch.bfloat16)
    return base.requires_grad_(False).eval()


def clips_of(base: VibeVoiceModel) -> list[EncodedVibeVoiceClip]:
    """Make clips of noise, 245 tokens or a few less."""
    rng = np.random.default_rng(0)
    made = []
    for number in range(CLIPS):
        patches = int(rng.integers(*PATCHES))
        features = rng.standard_normal((patches, 64 + 128)).astype(np.float32)
        tensor = torch.from_numpy(features)
        script = tuple(rng.integers(0, 50_000, SCRIPT_TOKENS).tolist())
        clip = EncodedVibeVoiceClip(
            id=f"clip{number}",
            people=("somebody",),
            turns=(),
            latents=tensor[:, :64],
            stretches=(),
            semantic=tensor[:, 64:],
            bare_ids=script,
            voiced_ids=script,
        )
        made.append(clip)
    return made


def context_of(base: VibeVoiceModel, rank: int = 0, workers: int = 1) -> WorkerContext:
    """Put a base and such clips where the trials of one of so many workers find them."""
    clips = clips_of(base)
    patches = np.array([clip.patches for clip in clips])
    index = Index(
        ids=tuple(clip.id for clip in clips),
        patches=patches,
        lengths=patches + SCRIPT_TOKENS,
        seconds=patches / LATENT_RATE_HZ,
        people=(("somebody",),) * len(clips),
        groups=(RowGroup("none", 0),),
        starts=np.array([0, len(clips)]),
        stop_weights=base.stop_weights,
    )
    return WorkerContext(
        base=base,
        feed=MemoryFeed(index, clips, rank, workers),
        voice_clips=list(clips),
        collator=base.collator([]),
        validation_clips=[],
        validation_batches=[],
        world=World(rank, workers, DEVICE),
    )


def plain_peft(context: WorkerContext, settings: TrialSettings) -> tuple[float, float]:
    """Return the seconds of a step as trainers make it, and GiB."""
    peak_gib()
    trial = PlainPeft(context, settings)
    return median_s(trial.step), peak_gib()


def operations(context: WorkerContext, clips: int) -> float:
    """Count a step's operations: 4 for a frozen weight, 6 for a trained one, and attention."""
    base = context.base
    assert isinstance(base, VibeVoiceModel)
    text = base.config.text_config
    patches = float(np.mean([clip.patches for clip in context.voice_clips]))
    tokens = patches + SCRIPT_TOKENS + 1
    layers = base.language_model.layers
    frozen = sum(part.numel() for part in layers.parameters() if part.ndim == 2)
    head = sum(part.numel() for part in base.diffusion_head.parameters() if part.ndim == 2)
    attention = text.num_hidden_layers * 6 * text.hidden_size * tokens
    noised = 4 * patches
    of_a_clip = tokens * (4 * frozen + attention) + noised * 6 * head
    return float(clips * of_a_clip)


class Watched:
    """A trial whose waiting for its data is timed."""

    def __init__(self, context: WorkerContext, settings: TrialSettings) -> None:
        """Begin the trial."""
        self.waited_s = 0.0
        self.run = TrialRun(context, settings, 1_000)
        self.run._batches = self._timed(self.run._batches)

    def _timed(self, steps: Any) -> Generator[Any, None, None]:
        while True:
            began = time.perf_counter()
            step = next(steps)
            self.waited_s += time.perf_counter() - began
            yield step

    def first_step(self) -> None:
        """Take the first step."""
        self.run.train(1)
        synchronize()

    def seconds_a_step(self) -> tuple[float, float]:
        """Return the seconds of a step, and the share of them that waited for data."""
        self.run.train(self.run.step + 5)
        synchronize()
        self.waited_s = 0.0
        began = time.perf_counter()
        self.run.train(self.run.step + STEPS)
        synchronize()
        took_s = time.perf_counter() - began
        return took_s / STEPS, self.waited_s / took_s


def measured(context: WorkerContext, size: str, clips: int, rate: float) -> list[Measure]:
    """Return one case's measures."""
    settings = dataclasses.replace(SETTINGS, batch_clips=clips)
    name = f"{size}, {clips} x 245 tokens: "
    peft_s, peft_gib = plain_peft(context, settings)
    began = time.perf_counter()
    trial = Watched(context, settings)
    trial.first_step()
    first_s = time.perf_counter() - began
    step_s, waited = trial.seconds_a_step()
    gib = peak_gib()
    shape = trial.run._seat.shape
    trial.run.close()
    began = time.perf_counter()
    following = Watched(context, dataclasses.replace(NEXT, batch_clips=clips))
    following.first_step()
    next_s = time.perf_counter() - began
    following.run.close()
    context.seats.clear()
    torch.compiler.reset()
    began = time.perf_counter()
    again = Watched(context, settings)
    again.first_step()
    again_s = time.perf_counter() - began
    again.run.close()
    context.seats.clear()
    torch.compiler.reset()
    goal = 12.0 if clips == 1 else 5.0
    return [
        Measure(name + "tokens of a row", shape.tokens if shape else 0),
        Measure(name + "plain peft, ms a step", peft_s * 1e3),
        Measure(name + "plain peft, GiB", peft_gib),
        Measure(
            name + "plain peft, share of the matrix rate",
            operations(context, clips) / peft_s / rate,
        ),
        Measure(name + "a trial, ms a step", step_s * 1e3),
        Measure(name + "a trial, GiB", gib),
        Measure(name + "share of the matrix rate", operations(context, clips) / step_s / rate),
        Measure(name + "share of the step waiting for data", waited, 0.02, at_least=False),
        Measure(name + "first step, s", first_s, 30.0, at_least=False),
        Measure(name + "first step, torch's cache warm, s", again_s, 5.0, at_least=False),
        Measure(name + "first step of the next trial, s", next_s, 0.3, at_least=False),
        Measure(name + "times plain peft", peft_s / step_s, goal),
    ]


class Together:
    """Trials whose steps are taken by one pass, and when they did what."""

    def __init__(self, context: WorkerContext, settings: TrialSettings, trials: int) -> None:
        """Train them all."""
        self.context = dataclasses.replace(context, trials=trials, packs=[], turns=Turns())
        self.first_s = 0.0
        self.next_s = 0.0
        self._began_s: list[float] = []
        self._ended_s: list[float] = []
        self._all = threading.Barrier(trials)
        self._start_s = time.perf_counter()
        each = [
            dataclasses.replace(settings, seed=number, learning_rate=1e-4 * (1 + number))
            for number in range(trials)
        ]
        run_in_threads(self.context, [partial(self._train, one) for one in each], 500.0)

    def _train(self, settings: TrialSettings) -> None:
        run = TrialRun(self.context, settings, 1_000)
        run.train(1)
        synchronize()
        self.first_s = time.perf_counter() - self._start_s
        run.train(6)
        self._wait()
        self._began_s.append(time.perf_counter())
        run.train(6 + STEPS)
        synchronize()
        self._ended_s.append(time.perf_counter())
        self._wait()
        run.close()
        if settings.seed == 0:
            self._train_next(dataclasses.replace(NEXT, batch_clips=settings.batch_clips))

    def _train_next(self, settings: TrialSettings) -> None:
        began_s = time.perf_counter()
        run = TrialRun(self.context, settings, 1_000)
        run.train(1)
        synchronize()
        self.next_s = time.perf_counter() - began_s
        run.close()

    def _wait(self) -> None:
        """Wait for the others."""
        with self.context.turns.let_others():
            self._all.wait()

    @property
    def pass_s(self) -> float:
        """Seconds of a pass, with nothing else going on."""
        pack = self.context.packs[0]
        nothing = torch.zeros(len(pack.seats), 2)
        return median_s(lambda: pack._rows.add_gradient(pack._stacked, nothing), 10)

    @property
    def step_s(self) -> float:
        """Seconds in which each trial takes a step."""
        return (max(self._ended_s) - min(self._began_s)) / STEPS


def measured_together(
    context: WorkerContext, size: str, clips: int, trials: int, rate: float
) -> list[Measure]:
    """Return the measures of trials that train at once."""
    settings = dataclasses.replace(SETTINGS, batch_clips=clips)
    name = f"{size}, {trials} trials of {clips} x 245 tokens: "
    peft_s, _ = plain_peft(context, settings)
    together = Together(context, settings, trials)
    gib = peak_gib()
    step_s = together.step_s
    shape = together.context.packs[0].seats[0].shape
    share = trials * operations(context, clips) / step_s / rate
    torch.compiler.reset()
    return [
        Measure(name + "tokens of a row", shape.tokens if shape else 0),
        Measure(name + "plain peft, ms a step", peft_s * 1e3),
        Measure(name + "ms a trial's step", step_s / trials * 1e3),
        Measure(name + "ms a trial of the pass alone", together.pass_s / trials * 1e3),
        Measure(name + "first step, s", together.first_s, 30.0, at_least=False),
        Measure(name + "first step of the next trial, s", together.next_s, 0.3, at_least=False),
        Measure(name + "GiB", gib),
        Measure(name + "share of the matrix rate", share, 0.5 if clips > 1 else None),
        Measure(name + "times plain peft", trials * peft_s / step_s, 30.0 if clips == 1 else 7.0),
    ]


def furthest_apart() -> Measure:
    """Train a shallow model with and without the graph, and compare the losses of the steps."""
    context = context_of(base_of("1.5B", AGREEING_LAYERS))
    settings = dataclasses.replace(SETTINGS, lora_dropout=0.0, batch_clips=4)
    curves = []
    for one_shape in (True, False):
        chosen = mock.patch.object(worker_context, "takes_one_shape", return_value=one_shape)
        with chosen:
            run = TrialRun(context, settings, 200)
        records, _ = run.train(200)
        run.close()
        curves.append([record.loss for record in records])
    apart = [abs(one - other) / other for one, other in zip(*curves, strict=True)]
    return Measure("furthest apart with and without the graph, 200 steps", max(apart), 0.02, False)


def main() -> None:
    """Measure the cases that were asked for."""
    rate = matrix_rate()
    measures = [Measure("matrix product in bf16, TFLOP/s", rate / 1e12)]
    contexts: dict[str, WorkerContext] = {}
    for case in sys.argv[1:] or CASES:
        size, clips, *trials = case.split(":")
        if size not in contexts:
            contexts.clear()
            contexts[size] = context_of(base_of(size))
        if trials:
            many = int(trials[0])
            measures += measured_together(contexts[size], size, int(clips), many, rate)
        else:
            measures += measured(contexts[size], size, int(clips), rate)
        print(case, flush=True)
    contexts.clear()
    measures.append(furthest_apart())
    print_measures("A trial on a GPU, and plain peft", measures)


if __name__ == "__main__":
    main()

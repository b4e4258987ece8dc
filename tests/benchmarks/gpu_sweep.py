"""A sweep of eight trials on one GPU, all told, against plain peft, one trial after another.

    python -m tests.benchmarks.gpu_sweep [CLIPS ...] [grid]     clips a step; 1 and 8 unless told

The checkpoint has the size of VibeVoice's 1.5B and random weights, the clips have made-up features.
The sweep is ``run_sweep`` on one lane, which trains as many at a time: Ray's start, the lane's, the
data, compiling, all trials to their last step, their validation, checkpoints and the record.
Plain peft loads the base, trains eagerly under bf16 autocast with torch's AdamW on one batch that
lies ready on the GPU, validates at the end and saves what it has trained. It draws no data and
starts no process, which would make it slower. One of its trials is timed, and counted eight times.

``grid`` is the grid of search_spaces/article_grid.py, three rates and two optimizers, four epochs
of a clip a step. One trial of plain peft is timed over its first 300 steps, and reckoned to its end
by the time of a step.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import ray
from optuna.distributions import CategoricalDistribution, FloatDistribution
from rich.console import Console
from safetensors.torch import save_file

from tests import vibe
from tests.benchmarks.gpu import matrix_rate, synchronize
from tests.benchmarks.measure import Measure, print_measures
from tests.benchmarks.plain_peft import PlainPeft
from tests.checkpoint import write_checkpoint
from tests.gpu.bases import free_unused_memory
from vibesweep.config import Budget, Sweep, TrialResources, TrialSettings
from vibesweep.corpus.shards.schema import Clip
from vibesweep.delivery.report.filling import filling_of
from vibesweep.models.registry import ModelRef
from vibesweep.models.vibevoice.encoder import ACOUSTIC, SEMANTIC
from vibesweep.sweep.record.record import SweepRecord
from vibesweep.sweep.run import run_sweep
from vibesweep.training.validation import validation_loss
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

CASES = (1, 8)
GOALS = {1: 30.0, 8: 7.0}
TRIALS = 8
STEPS = 300
CLIPS = 160
GRID = "grid"
GRID_CLIPS = 640
GRID_STEPS = 4 * 600
"""Four epochs: a part of the clips is held out."""
GRID_GOAL = 15.0
GRID_SPACE = {
    "learning_rate": CategoricalDistribution([1e-4, 5e-5, 1e-5]),
    "optimizer": CategoricalDistribution(["adamw", "lion"]),
}
GRID_POINTS = tuple(
    {"learning_rate": rate, "optimizer": optimizer}
    for rate in (1e-4, 5e-5, 1e-5)
    for optimizer in ("adamw", "lion")
)
PATCHES = (170, 190)
WORDS = ("Good morning.", "It works.", "Did you sleep well?", "Speak, then.")
DEVICE = "cuda:0"
SETTINGS = TrialSettings(
    lora_rank=16,
    lora_head="full",
    precision="bf16",
    learning_rate=1e-4,
    voice_prompt_drop=1.0,
    base_share=0.25,
)


@dataclass(frozen=True)
class Seconds:
    """What the parts of a sweep took.

    Attributes:
        until_sweep: Ray's start, and what is checked before lanes come up.
        until_first_step: the lane's start, the base's validation and compiling.
        trials: from the first trial's first step to the last one's end.
        ending: until ``run_sweep`` returned.
    """

    until_sweep: float
    until_first_step: float
    trials: float
    ending: float

    @property
    def all(self) -> float:
        """The whole sweep's."""
        return self.until_sweep + self.until_first_step + self.trials + self.ending


def made_clip(clip: Clip, rng: np.random.Generator) -> Clip:
    """Make a small clip of the tests some 24 s long."""
    patches = int(rng.integers(*PATCHES))
    seconds = patches / vibe.RATE_HZ
    turns = []
    for half, turn in enumerate(clip.turns):
        start_s = half * seconds / 2
        text = str(rng.choice(WORDS))
        timed = dataclasses.replace(turn, text=text, start_s=start_s, end_s=start_s + seconds / 2)
        turns.append(timed)
    sizes = {ACOUSTIC: vibe.LATENT_SIZE, SEMANTIC: vibe.SEMANTIC_SIZE}
    columns = {
        name: rng.standard_normal(patches * size).astype(np.float16) for name, size in sizes.items()
    }
    return dataclasses.replace(
        clip, duration_s=seconds, patches=patches, turns=tuple(turns), columns=columns
    )


def write_inputs(work: Path) -> tuple[Path, Path]:
    """Write a checkpoint and shards of its features; return both folders."""
    checkpoint = write_checkpoint(work / "checkpoint", size="1.5B", device=DEVICE)
    free_unused_memory()
    return checkpoint, write_clips(work / "shards", checkpoint, CLIPS)


def write_clips(folder: Path, checkpoint: Path, count: int) -> Path:
    """Write shards of so many clips."""
    rng = np.random.default_rng(0)
    clips = [made_clip(clip, rng) for clip in vibe.clips(count)]
    return vibe.write_shards(folder, checkpoint, made=clips)


def peft_trial_s(
    checkpoint: Path, shards: Path, settings: TrialSettings, work: Path, steps: int = STEPS
) -> float:
    """Train one trial as trainers do, from loading the base to the saved adapter; return seconds.

    The base is in bf16 and what is trained in float32, as in ours. More than :data:`STEPS` steps
    are reckoned from these.
    """
    began = time.perf_counter()
    model = ModelRef.parse(f"vibevoice:{checkpoint}")
    context = WorkerContext.open(model, shards, World(device=DEVICE))
    trial = PlainPeft(context, settings)
    synchronize()
    training_s = time.perf_counter()
    for _ in range(STEPS):
        trial.step()
    synchronize()
    training_s = time.perf_counter() - training_s
    with trial.autocast():
        validation_loss(trial.network.eval(), context.validation_batches, context.world)
    tensors = {name: part.detach() for name, part in trial.trained.items()}
    save_file(tensors, work / "adapter.safetensors")
    synchronize()
    took_s = time.perf_counter() - began
    return took_s + training_s * (steps / STEPS - 1)


def sweep_record(
    checkpoint: Path, shards: Path, settings: TrialSettings, work: Path, lanes: int = 1
) -> tuple[SweepRecord, Seconds]:
    """Run the sweep, :data:`TRIALS` for each lane; return its record, and what its parts took."""
    sweep = Sweep(
        space={"learning_rate": FloatDistribution(3e-5, 3e-4, log=True)},
        corpus=str(shards),
        model=f"vibevoice:{checkpoint}",
        settings=settings,
        budget=Budget(max_steps=STEPS, grace_steps=STEPS),
        trials=TRIALS * lanes,
        lanes=lanes,
        resources=TrialResources(1, cpus_per_worker=8, gpus_per_worker=1),
    )
    return timed_sweep(sweep, f"clips{settings.batch_clips}lanes{lanes}", work)


def timed_sweep(sweep: Sweep, name: str, work: Path) -> tuple[SweepRecord, Seconds]:
    """Run a sweep on a Ray of its own; return its record, and what its parts took."""
    began_unix_s = time.time()
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    folder = run_sweep(sweep, name, work=work, console=Console())
    ended_unix_s = time.time()
    ray.shutdown()
    record = folder.read()
    first_step_unix_s = min(trial.first_step_unix_s for trial in record.trials)
    last_unix_s = max(trial.ended_unix_s or 0.0 for trial in record.trials)
    seconds = Seconds(
        until_sweep=record.started_unix_s - began_unix_s,
        until_first_step=first_step_unix_s - record.started_unix_s,
        trials=last_unix_s - first_step_unix_s,
        ending=ended_unix_s - last_unix_s,
    )
    return record, seconds


def measured(clips: int, checkpoint: Path, shards: Path, work: Path) -> list[Measure]:
    """Return the measures with so many clips a step, the headline last."""
    settings = dataclasses.replace(SETTINGS, batch_clips=clips)
    peft_s = peft_trial_s(checkpoint, shards, settings, work)
    free_unused_memory()
    record, seconds = sweep_record(checkpoint, shards, settings, work)
    trials = record.trials
    steps = sum(trial.step for trial in trials)
    name = f"1.5B, {clips} clips a step: "
    peak_gb = max(trial.peak_memory_mb for trial in trials) / 1e3
    filling = max(filling_of(trial) or 0.0 for trial in trials)
    pass_ms = max(trial.step_ms for trial in trials)
    return [
        Measure(name + "plain peft, s a trial", peft_s),
        Measure(name + "plain peft, trials an hour", 3_600 / peft_s),
        Measure(name + "until the sweep starts, s", seconds.until_sweep),
        Measure(name + "from there to a trial's first step, s", seconds.until_first_step),
        Measure(name + "from there to the last trial's end, s", seconds.trials),
        Measure(name + "from there to the sweep's end, s", seconds.ending),
        Measure(name + "the sweep, s", seconds.all),
        Measure(name + "steps of all trials", steps),
        Measure(name + "tokens of a step", trials[0].row_tokens / trials[0].step),
        Measure(name + "ms in which each trial takes a step", pass_ms),
        Measure(name + "peak memory, GB", peak_gb),
        Measure(name + "largest share of filling", filling),
        Measure(name + "the sweep, trials an hour", 3_600 * TRIALS / seconds.all),
        Measure(name + "times plain peft", TRIALS * peft_s / seconds.all, GOALS.get(clips)),
    ]


def measured_grid(checkpoint: Path, work: Path) -> list[Measure]:
    """Return the measures of the grid, the headline last."""
    shards = write_clips(work / "grid_shards", checkpoint, GRID_CLIPS)
    settings = dataclasses.replace(SETTINGS, lora_rank=8, batch_clips=1)
    peft_s = peft_trial_s(checkpoint, shards, settings, work, GRID_STEPS)
    free_unused_memory()
    sweep = Sweep(
        space=GRID_SPACE,
        corpus=str(shards),
        model=f"vibevoice:{checkpoint}",
        settings=settings,
        budget=Budget(max_steps=GRID_STEPS, grace_steps=GRID_STEPS),
        trials=len(GRID_POINTS),
        try_first=GRID_POINTS,
        resources=TrialResources(1, cpus_per_worker=8, gpus_per_worker=1),
    )
    record, seconds = timed_sweep(sweep, "grid", work)
    steps = [trial.step for trial in record.trials]
    gain = len(GRID_POINTS) * peft_s / seconds.all
    until_first_step = seconds.until_sweep + seconds.until_first_step
    assert record.best is not None
    assert record.best.best_loss_val is not None
    return [
        Measure("grid: plain peft, s a trial", peft_s),
        Measure("grid: until a trial's first step, s", until_first_step),
        Measure("grid: from there to the last trial's end, s", seconds.trials),
        Measure("grid: the sweep, s", seconds.all),
        Measure("grid: fewest steps of a trial", min(steps)),
        Measure("grid: ms in which each trial takes a step", max(t.step_ms for t in record.trials)),
        Measure("grid: best loss", record.best.best_loss_val),
        Measure("grid: times plain peft", gain, GRID_GOAL),
    ]


def main() -> None:
    """Measure the cases that were asked for."""
    asked = sys.argv[1:] or CASES
    cases = [int(argument) for argument in asked if argument != GRID]
    measures = [Measure("matrix product in bf16, TFLOP/s", matrix_rate() / 1e12)]
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as folder:
        work = Path(folder)
        checkpoint, shards = write_inputs(work)
        for clips in cases:
            found = measured(clips, checkpoint, shards, work)
            for measure in found:
                print(measure.json_line(), flush=True)
            measures += found
        if GRID in asked:
            measures += measured_grid(checkpoint, work)
    print_measures("A sweep on one GPU, and plain peft", measures)


if __name__ == "__main__":
    main()

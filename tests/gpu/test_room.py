"""As many trials as are said to have room train at the same time, and too many become fewer."""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from optuna.distributions import FloatDistribution
from rich.console import Console

from tests.gpu.bases import DEVICE, LARGE, WIDE, context_on_gpu, free_unused_memory
from tests.threads import run_in_threads
from vibesweep.config import Budget, Sweep, TrialResources, TrialSettings
from vibesweep.models.mel.shape import MelShape
from vibesweep.sweep.run import run_sweep
from vibesweep.training.room import bytes_of_a_trial, trials_that_fit
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

SETTINGS = TrialSettings(precision="bf16", lora_head="full", batch_clips=8)
OTHER_KIND = dataclasses.replace(SETTINGS, lora_rank=64, lora_dropout=0.0)
IN_FULL = dataclasses.replace(SETTINGS, method="full")
SHARE = 0.06
"""Share of the GPU that the trials may fill."""
STEPS = 3


@pytest.fixture
def part_of_the_gpu() -> Iterator[None]:
    """Have torch refuse more than the share, as a smaller GPU would."""
    torch.cuda.set_per_process_memory_fraction(SHARE, DEVICE)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0, DEVICE)
    free_unused_memory()


@pytest.mark.usefixtures("part_of_the_gpu")
@pytest.mark.parametrize("shape", [LARGE, WIDE], ids=["large", "wide"])
@pytest.mark.parametrize(
    "rehearsed", [[SETTINGS], [SETTINGS, OTHER_KIND], [SETTINGS, IN_FULL]], ids=len
)
def test_trials_that_are_said_to_fit_do(
    rehearsed: list[TrialSettings], shape: MelShape, tmp_path: Path
) -> None:
    context = context_on_gpu(tmp_path, shape, device_share=SHARE)
    trials = trials_that_fit(context, rehearsed, 8)
    context = dataclasses.replace(context, trials=trials)
    settings = [rehearsed[number % len(rehearsed)] for number in range(trials)]
    run_in_threads(context, [partial(train, context, one) for one in settings], 300.0)
    used = torch.cuda.max_memory_reserved(DEVICE) / torch.cuda.mem_get_info(DEVICE)[1]
    print(f"\n{trials} trials of {len(rehearsed)} kinds: {used / SHARE:.2f} of the share")
    assert 1 <= trials <= 8


def train(context: WorkerContext, settings: TrialSettings) -> None:
    run = TrialRun(context, settings, STEPS)
    run.advance(STEPS)
    run.close()


def test_trials_that_share_no_pass_train_one_at_a_time(tmp_path: Path) -> None:
    context = context_on_gpu(tmp_path, LARGE)
    assert trials_that_fit(context, [IN_FULL], 8) == 1


def limit_for_trials(trials: float, settings: TrialSettings, folder: Path) -> float:
    """Return the share of the GPU that the base takes with so many trials, as they are reckoned."""
    context = context_on_gpu(folder, WIDE)
    base_bytes = torch.cuda.memory_allocated(DEVICE)
    needed = base_bytes + trials * bytes_of_a_trial(context, settings)
    return float(needed / torch.cuda.mem_get_info(DEVICE)[1])


def test_a_lane_whose_memory_runs_out_trains_fewer_trials_and_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker may take less than the GPU has free, which it finds out when it runs out."""
    import ray

    share = limit_for_trials(3, SETTINGS, tmp_path)
    free_unused_memory()
    before = os.environ["PYTORCH_ALLOC_CONF"]
    monkeypatch.setenv("PYTORCH_ALLOC_CONF", f"{before},per_process_memory_fraction:{share:.4f}")
    sweep = Sweep(
        space={"learning_rate": FloatDistribution(1e-5, 1e-4, log=True)},
        corpus=str(tmp_path / "shards"),
        model=str(tmp_path / "base"),
        settings=SETTINGS,
        budget=Budget(max_steps=12, grace_steps=12),
        trials=8,
        resources=TrialResources(cpus_per_worker=2, gpus_per_worker=1),
    )
    said = io.StringIO()
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    try:
        console = Console(file=said, width=200)
        folder = run_sweep(sweep, "crowded", work=tmp_path, console=console)
    finally:
        ray.shutdown()
    print(said.getvalue())
    assert "ran out of memory; from now on it trains at most 4 at a time" in said.getvalue()
    assert [trial.state for trial in folder.read().trials] == ["complete"] * 8

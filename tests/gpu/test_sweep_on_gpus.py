"""Lanes on GPUs: one trial a GPU, two on one GPU, and one trial over two GPUs with NCCL."""

from __future__ import annotations

import math
from pathlib import Path

import optuna
import pytest
import torch

from vibesweep.config import Budget, Sweep, TrialResources, TrialSettings

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a demo corpus."""
    from vibesweep.corpus.demo import write_demo_corpus

    return write_demo_corpus(tmp_path_factory.mktemp("corpus") / "talks", recordings=24)


def space(trial: optuna.Trial) -> None:
    """Suggest a learning rate, and a rank for LoRA only."""
    trial.suggest_float("learning_rate", 3e-4, 3e-3, log=True)
    if trial.suggest_categorical("method", ["lora", "full"]) == "lora":
        trial.suggest_categorical("lora_rank", [4, 16])


@pytest.mark.usefixtures("ray_with_gpus")
@pytest.mark.parametrize(("workers", "gpus_per_worker"), [(1, 1), (1, 0.5), (2, 1)])
def test_a_sweep_on_gpus_lowers_the_loss_and_speaks(
    workers: int, gpus_per_worker: float, corpus: Path, tmp_path: Path
) -> None:
    import ray

    from vibesweep.delivery.export import export
    from vibesweep.delivery.sample import speak_sample
    from vibesweep.sweep.run import run_sweep

    if torch.cuda.device_count() < workers:
        pytest.skip(f"needs {workers} GPUs")
    prefix = "accelerator_type:"
    names = [name for name in ray.cluster_resources() if name.startswith(prefix)]
    resources = TrialResources(
        workers,
        cpus_per_worker=2,
        gpus_per_worker=gpus_per_worker,
        accelerator_type=names[0].removeprefix(prefix),
    )
    sweep = Sweep(
        space=space,
        corpus=str(corpus),
        settings=TrialSettings(batch_clips=8),
        budget=Budget(max_steps=36, grace_steps=4, reduction_factor=3),
        trials=8,
        resources=resources,
    )
    folder = run_sweep(sweep, "gpu", work=tmp_path)
    record = folder.read()
    assert record.lanes == torch.cuda.device_count() / (workers * gpus_per_worker)
    assert record.state == "done"
    assert record.base_loss_val is not None
    assert record.best is not None
    assert record.best.best_loss_val is not None
    assert math.isfinite(record.best.best_loss_val)
    assert record.best.best_loss_val < 0.9 * record.base_loss_val
    assert speak_sample(folder, export(folder, tmp_path / "best")).stat().st_size > 20_000
    best = record.best.best_loss_val
    seconds = (record.ended_unix_s or 0) - record.started_unix_s
    states = [(trial.state, trial.step) for trial in record.trials]
    print(f"\n{resources}, {record.lanes} lanes: base {record.base_loss_val:.4f}, best {best:.4f},")
    print(f"{seconds:.0f} s; trials {states}")

"""How fast a lane will be: measured in this process, or reckoned from the model's size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from vibesweep.config import TrialResources, TrialSettings
from vibesweep.models.registry import ModelRef
from vibesweep.training.lanes.messages import Pace
from vibesweep.training.pace import measured_step_s
from vibesweep.training.sizes import TrialSize
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

PUBLISHED_TFLOPS = {
    "T4": 65.0,
    "V100": 125.0,
    "A10G": 70.0,
    "L4": 121.0,
    "L40S": 362.0,
    "A100": 312.0,
    "H100": 989.0,
    "H200": 989.0,
    "B200": 2_250.0,
}
"""Dense products of 16-bit matrices, from the makers' data sheets; the names are Ray's."""
GPU_SHARE = 0.1
"""Share of that which training reaches: .07 to .24 were measured (docs/design/training.md)."""
CPU_SHARE = 0.3
"""Share of the measured rate of a matrix product that training reaches on a CPU."""
CPU_SIZE = 768
CUDA_SIZE = 8_192
"""Rows and columns of the matrices whose product is timed."""
REPEATS = 3
"""Products that are timed; the fastest counts."""


def pace_here(
    model: ModelRef, shards: str, settings: TrialSettings, resources: TrialResources
) -> Pace | None:
    """Measure a lane's pace by a few steps and a validation in this process.

    Args:
        model: the base.
        shards: the folder of shards, all of which is encoded first.
        settings: what a trial trains with.
        resources: of a trial; one of its workers is measured.

    Returns:
        The pace; ``None`` where this machine has no such device, or the settings do not fit it.

    Raises:
        VibesweepError: the base or the shards cannot be read.
    """
    if resources.gpus_per_worker and not torch.cuda.is_available():
        return None
    world = World(device="cuda" if resources.gpus_per_worker else "cpu")
    with _threads(resources):
        context = WorkerContext.open(model, shards, world)
        began_s = time.perf_counter()
        context.validate(context.base)
        validation_s = time.perf_counter() - began_s
        step_s = measured_step_s(context, settings)
    return None if step_s is None else Pace(step_s, validation_s)


def estimated_pace(
    size: TrialSize, step_tokens: float, validation_tokens: float, resources: TrialResources
) -> Pace:
    """Reckon a lane's pace: two operations for each weight and token, and thrice that in training.

    A frozen weight has no gradient of its own, so it takes two thirds.

    Args:
        size: of a trial.
        step_tokens: tokens of an optimizer step, over all workers.
        validation_tokens: tokens of a validation.
        resources: of a trial.

    Returns:
        The pace; its ``step_s`` is ``None`` where nothing is known of the device.
    """
    rate = _operations_a_second(resources)
    if rate is None:
        return Pace(None, 0.0)
    rate *= resources.workers
    forward_operations = 2.0 * size.parameters  # a token
    weight_gradient_operations = 2.0 * size.trained
    step_operations = (2 * forward_operations + weight_gradient_operations) * step_tokens
    validation_operations = forward_operations * validation_tokens
    return Pace(step_operations / rate, validation_operations / rate)


def _operations_a_second(resources: TrialResources) -> float | None:
    """Return what a worker reaches in training, measured where this machine has its device."""
    share = resources.gpus_per_worker
    if not share:
        with _threads(resources):
            return CPU_SHARE * _product_rate("cpu", CPU_SIZE, torch.float32)
    published = PUBLISHED_TFLOPS.get(resources.accelerator_type or "")
    if published is not None:
        return GPU_SHARE * published * 1e12 * share
    if not torch.cuda.is_available():
        return None
    return GPU_SHARE * share * _product_rate("cuda", CUDA_SIZE, torch.bfloat16)


@contextmanager
def _threads(resources: TrialResources) -> Iterator[None]:
    """Compute on as many threads as a lane's worker does."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(resources.cpus_per_worker, 1))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _product_rate(device: str, size: int, dtype: torch.dtype) -> float:
    """Measure the operations a second of a product of two square matrices."""
    matrix = torch.ones(size, size, device=device, dtype=dtype)
    fastest_s = min(_seconds_of(matrix) for _ in range(REPEATS))
    return 2.0 * size**3 / fastest_s


def _seconds_of(matrix: torch.Tensor) -> float:
    """Time a product; ``item`` waits for a GPU."""
    began_s = time.perf_counter()
    product = matrix @ matrix
    product[0, 0].item()
    return time.perf_counter() - began_s

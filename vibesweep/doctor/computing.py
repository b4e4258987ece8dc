"""What trials compute with: torch and its companion, GPUs, CPUs and memory."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import psutil

from vibesweep.doctor.finding import Finding, note, problem

GIB = 2**30
MUCH_USED = 0.8
"""Share of the memory; at 0.95 Ray kills workers (RAY_memory_usage_threshold)."""
FREE_SHARE = 0.8
"""With less of a GPU's memory free, some other program holds it."""


def look_at_torch() -> Iterator[Finding]:
    """Look whether torch loads, with torchaudio beside it, and which GPUs it finds."""
    try:
        import torch
        import torchaudio
    except (ImportError, OSError) as error:  # OSError: a shared library
        reason = " ".join(str(error).split())
        fix = "install the pair that belongs together: pip install torch==2.11.0 torchaudio==2.11.0"
        yield problem("torch", f"torch or torchaudio does not load: {reason}", fix)
        return
    yield Finding("torch", f"{torch.__version__}, torchaudio {torchaudio.__version__}")
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            yield _gpu(index)
    else:
        yield _no_gpu(torch.version.cuda)


def _gpu(index: int) -> Finding:
    import torch

    subject = f"GPU {index}"
    name = torch.cuda.get_device_name(index)
    try:
        free, total = torch.cuda.mem_get_info(index)
    except RuntimeError as error:
        reason = str(error).partition("\n")[0]
        fix = "see with nvidia-smi what holds it, or leave it out by CUDA_VISIBLE_DEVICES"
        return problem(subject, f"{name} does not answer: {reason}", fix)
    memory = f"{name}, {free / GIB:.0f} of {total / GIB:.0f} GiB free"
    if free < FREE_SHARE * total:
        fix = "see with nvidia-smi which program holds the rest, and end it before a sweep"
        return note(subject, memory, fix)
    return Finding(subject, memory)


def _no_gpu(cuda: str | None) -> Finding:
    """Tell a machine without GPUs from one whose GPUs torch does not find."""
    if shutil.which("nvidia-smi") is None:
        return Finding("GPU", "none: trials run on CPUs")
    found = "nvidia-smi is here, and torch finds no GPU"
    if cuda is None:
        fix = "install torch with CUDA: pip install --force-reinstall torch==2.11.0"
        return problem("GPU", f"{found}: it is a build for CPUs", fix)
    if os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        return problem("GPU", f"{found}: CUDA_VISIBLE_DEVICES hides all", "unset it")
    fix = f"see with nvidia-smi whether the driver is new enough for CUDA {cuda}"
    return problem("GPU", found, fix)


def look_at_cpus() -> Iterator[Finding]:
    """Look at CPUs and memory."""
    cpus = len(os.sched_getaffinity(0))
    memory = psutil.virtual_memory()
    free, total = memory.available, memory.total
    found = f"{cpus} CPUs, {free / GIB:.1f} of {total / GIB:.1f} GiB of memory free"
    if free < (1 - MUCH_USED) * total:
        fix = "end other programs: Ray kills workers when 95 % is in use"
        yield note("CPUs", found, fix)
        return
    yield Finding("CPUs", found)

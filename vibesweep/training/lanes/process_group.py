"""Makes the process group of a lane's workers.

Ray Train's own backend for torch does the same, and imports torch in Train's controller and in the
actor that keeps Train's runs, for a dataclass and for the number of torch's version. Both come
before a lane's first worker, and neither computes anything.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ray
from ray.exceptions import GetTimeoutError
from ray.train.backend import Backend, BackendConfig

from vibesweep.cluster.ray_internals import get_address_and_port

COLLECTIVE_TIMEOUT = timedelta(seconds=1_800)
"""Ray Train's own. How long a worker waits in a collective for one that lives and does not come."""
LEAVE_S = 30.0
"""How long workers may take to leave the group, of which one may hang in a collective."""


class LaneBackend(Backend):
    """Joins the workers of a lane, where there are several."""

    # NCCL joins only GPUs that each worker sees
    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Have the workers meet at the first one's host. Train's controller calls this."""
        size = len(worker_group)
        if size == 1:
            return
        address, port = worker_group.execute_single(0, get_address_and_port)
        joining = [
            worker_group.execute_single_async(
                rank, join, backend_config.backend, address, port, rank, size
            )
            for rank in range(size)
        ]
        ray.get(joining)

    def on_shutdown(self, worker_group: Any, backend_config: Any) -> None:
        """Have the workers leave the group: NCCL's threads complain of one that is not left."""
        del backend_config
        if len(worker_group) == 1:
            return
        leaving = worker_group.execute_async(leave)
        with suppress(GetTimeoutError):  # Train ends the processes next, whatever they do
            ray.get(leaving, timeout=LEAVE_S)


@dataclass(frozen=True)
class LaneBackendConfig(BackendConfig):
    """Names the backend to Train, whose controller reads it.

    Attributes:
        backend: torch's own, ``nccl`` or ``gloo``.
    """

    backend: str

    @property
    def backend_cls(self) -> type[Backend]:
        """Return what Train calls."""
        return LaneBackend

    @property
    def train_func_context(self) -> Any:
        """Return what makes a worker's GPU torch's current one. The driver asks for it."""
        from ray.train.torch import TorchConfig

        return TorchConfig().train_func_context


def join(backend: str, address: str, port: int, rank: int, size: int) -> None:
    """Join the process group as the worker of this rank. Runs in each worker.

    Args:
        backend: ``nccl`` or ``gloo``.
        address: of the first worker's host.
        port: a free one there.
        rank: this worker's number.
        size: number of workers.
    """
    import torch.distributed

    os.environ["MASTER_ADDR"] = address
    os.environ["MASTER_PORT"] = str(port)
    # As Ray Train has it: a collective that fails ends the process, and with it the lane
    os.environ.setdefault("TORCH_NCCL_ASYNC_ERROR_HANDLING", "1")
    torch.distributed.init_process_group(
        backend, rank=rank, world_size=size, timeout=COLLECTIVE_TIMEOUT
    )


def leave() -> None:
    """Leave the process group, if this worker has joined it. Runs in each worker."""
    import torch.distributed

    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()

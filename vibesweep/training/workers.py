"""The workers of one trial: who this process is among them, and what they exchange."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed

from vibesweep.errors import VibesweepError

T = TypeVar("T")


def is_cuda(device: str) -> bool:
    """Tell whether a device, as torch names it, is a GPU of CUDA's."""
    return torch.device(device).type == "cuda"


@dataclass(frozen=True)
class World:
    """This process among a trial's workers.

    Every worker must call each method at the same point.

    Attributes:
        rank: this worker's number.
        size: number of workers.
        device: the device it computes on, as torch names it.
        device_share: its share of the device's memory, where several processes use the device.
    """

    rank: int = 0
    size: int = 1
    device: str = "cpu"
    device_share: float = 1.0

    @property
    def device_name(self) -> str:
        """``cpu``, or the name of the GPU."""
        if not is_cuda(self.device):
            return self.device
        return torch.cuda.get_device_name(self.device)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is set on any worker."""
        if self.size == 1:
            return flag
        raised = torch.tensor(float(flag), device=self.device)
        return bool(self.sum(raised).item())

    @contextmanager
    def together(self) -> Iterator[None]:
        """Raise the first error that any worker meets in this block, on every worker.

        Otherwise the others would wait in their next collective for a worker that has given up. The
        block itself must hold no collective.

        Raises:
            VibesweepError: a worker met it.
        """
        error = None
        try:
            yield
        except VibesweepError as raised:
            error = raised
        if self.any(error is not None):
            errors = [found for found in self.gather(error) if found is not None]
            raise errors[0]

    def gather(self, item: T) -> list[T]:
        """Return every worker's item, in the order of their ranks."""
        items = [item] * self.size
        if self.size > 1:
            torch.distributed.all_gather_object(items, item)
        return items

    def sums_and_any(self, values: torch.Tensor, flag: bool) -> tuple[list[float], bool]:
        """Sum numbers over the workers, and tell whether the flag is set on any: one exchange."""
        if self.size == 1:
            return values.tolist(), flag
        raised = values.new_tensor([float(flag)])
        *sums, count = self.sum(torch.cat([values, raised])).tolist()
        return sums, count > 0

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over the workers, in place, and return it."""
        if self.size > 1:
            torch.distributed.all_reduce(values)
        return values

    def take_from_first(self, values: torch.Tensor) -> None:
        """Copy the first worker's values into this worker's tensor."""
        if self.size > 1:
            torch.distributed.broadcast(values, 0)

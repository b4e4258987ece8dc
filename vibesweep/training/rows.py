"""How a row's gradient is computed: as it comes, or by one CUDA graph for all rows of one shape.

Shapes: ``K`` trials whose rows are computed by one pass; without that axis there is one trial.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vibesweep.models.losses import Losses

WARM_UP_PASSES = 3
"""Passes before a capture: compilers compile, libraries take their workspaces."""

Factors = tuple[float, float] | Tensor
"""What a sum of the diffusion loss and one of the stop loss count in the loss that is trained, [2]
or [K, 2]."""


class Rows(Protocol):
    """Computes one row after another."""

    def add_gradient(self, row: Any, factors: Factors) -> Tensor:
        """Add a row's gradient to those of its parameters.

        Returns:
            The sums of the diffusion loss and of the stop loss [2] or [K, 2].
        """

    def taking_part(self) -> AbstractContextManager[None]:
        """Return the context in which a trial adds gradients."""


class EagerRows:
    """Runs the network on rows of any shape."""

    def __init__(self, network: nn.Module, autocast: AbstractContextManager[Any]) -> None:
        """Take a network and the context of its forward pass."""
        self._network = network
        self._autocast = autocast

    def add_gradient(self, row: Any, factors: Factors) -> Tensor:
        """Run forward and backward."""
        with self._autocast:
            losses: Losses = self._network(row)
        sums = torch.stack(losses, -1)
        weights = torch.as_tensor(factors, device=sums.device)
        counted = sums * weights
        torch.autograd.backward(counted.sum())
        return sums.detach()

    def taking_part(self) -> AbstractContextManager[None]:
        """Do nothing: the trial is alone."""
        return nullcontext()


class GraphedRows:
    """Replays one CUDA graph of forward and backward on rows of one shape.

    Weights, gradients, and whatever else varies from trial to trial are read from the memory that
    they were in when the graph was captured, with the values that they have now.
    """

    def __init__(self, network: nn.Module, autocast: AbstractContextManager[Any]) -> None:
        """Take a network on a CUDA device; its first row is what the graph is captured with."""
        self._network = network
        self._autocast = autocast
        self._eager = EagerRows(network, autocast)
        self._graph: torch.cuda.CUDAGraph | None = None
        self._row: Any = None
        self._factors = torch.empty(0)
        self._sums = torch.empty(0)

    def add_gradient(self, row: Any, factors: Factors) -> Tensor:
        """Replay the graph; a row of another shape is computed without it."""
        fresh_factors = torch.as_tensor(factors)
        if self._graph is None:
            self._capture(row, fresh_factors)
        assert self._graph is not None
        if not _alike(row, self._row):
            device = self._sums.device
            moved = row.to(str(device))
            with torch.compiler.set_stance("force_eager"):
                return self._eager.add_gradient(moved, factors)
        for place, part in zip(self._row, row, strict=True):
            place.copy_(part, non_blocking=True)
        self._factors.copy_(fresh_factors)
        self._graph.replay()
        return self._sums.clone()

    def taking_part(self) -> AbstractContextManager[None]:
        """Do nothing: the trial is alone."""
        return nullcontext()

    def _capture(self, row: Any, factors: Tensor) -> None:
        """Capture the graph; gradients and random state are afterwards what they were before."""
        gradients = []
        for part in self._network.parameters():
            if part.requires_grad:
                assert part.grad is not None, "a graph adds to gradients that are there"
                gradients.append(part.grad)
        before = [gradient.clone() for gradient in gradients]
        device = gradients[0].device
        self._row = row.to(str(device))
        self._factors = torch.ones_like(factors, device=device)
        random_state = torch.cuda.get_rng_state(device)
        side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(device))
        # Another trial, which validates meanwhile, may have turned the compiler off
        with torch.cuda.stream(side), torch.compiler.set_stance("default"):
            for _ in range(WARM_UP_PASSES):
                self._pass()
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        # NCCL's own threads ask after their events meanwhile, which must not break the capture
        own_thread = torch.cuda.graph(graph, capture_error_mode="thread_local")
        with own_thread, torch.compiler.set_stance("default"):
            self._sums = self._pass()
        torch._foreach_copy_(gradients, before)
        torch.cuda.set_rng_state(random_state, device)
        self._graph = graph

    def _pass(self) -> Tensor:
        """Run forward and backward on the static row: sums of its losses [2] or [K, 2]."""
        with self._autocast:
            losses: Losses = self._network(self._row)
        sums = torch.stack(losses, -1)
        counted = sums * self._factors
        torch.autograd.backward(counted.sum())
        return sums.detach()


def _alike(row: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Return whether two rows have one shape."""
    pairs = zip(row, other, strict=True)
    return all(part.shape == twin.shape for part, twin in pairs)

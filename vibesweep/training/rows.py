"""How a row's gradient is computed: as it comes, or by one CUDA graph for all rows of one shape."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from vibesweep.models.losses import Losses

WARM_UP_PASSES = 3
"""Passes before a capture: compilers compile, libraries take their workspaces."""

Factors = tuple[float, float]
"""What a sum of the diffusion loss and one of the stop loss count in the loss that is trained."""


class Rows(Protocol):
    """Computes one row after another."""

    def add_gradient(self, row: Any, factors: Factors) -> Tensor:
        """Add a row's gradient to those of its parameters.

        Returns:
            The sums of the diffusion loss and of the stop loss [2].
        """


class EagerRows:
    """Runs the network on rows of any shape."""

    def __init__(self, network: nn.Module, autocast: AbstractContextManager[Any]) -> None:
        """Take a network, in DDP's wrapper or not, and the context of its forward pass."""
        self._network = network
        self._autocast = autocast

    def add_gradient(self, row: Any, factors: Factors) -> Tensor:
        """Run forward and backward."""
        with self._autocast:
            losses: Losses = self._network(row)
        diffusion = losses.diffusion * factors[0]
        stop = losses.stop * factors[1]
        torch.autograd.backward(diffusion + stop)
        sums = torch.stack(losses)
        return sums.detach()


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
        if self._graph is None:
            self._capture(row)
        assert self._graph is not None
        if not _alike(row, self._row):
            device = self._sums.device
            moved = row.to(str(device))
            with torch.compiler.set_stance("force_eager"):
                return self._eager.add_gradient(moved, factors)
        for place, part in zip(self._row, row, strict=True):
            place.copy_(part, non_blocking=True)
        fresh_factors = torch.tensor(factors)
        self._factors.copy_(fresh_factors)
        self._graph.replay()
        return self._sums.clone()

    def _capture(self, row: Any) -> None:
        """Capture the graph; gradients and random state are afterwards what they were before."""
        gradients = []
        for part in self._network.parameters():
            if part.requires_grad:
                assert part.grad is not None, "a graph adds to gradients that are there"
                gradients.append(part.grad)
        before = [gradient.clone() for gradient in gradients]
        device = gradients[0].device
        self._row = row.to(str(device))
        self._factors = torch.ones(2, device=device)
        random_state = torch.cuda.get_rng_state(device)
        side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP_PASSES):
                self._pass()
        torch.cuda.current_stream(device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._sums = self._pass()
        torch._foreach_copy_(gradients, before)
        torch.cuda.set_rng_state(random_state, device)
        self._graph = graph

    def _pass(self) -> Tensor:
        """Run forward and backward on the static row: sums of its losses [2]."""
        with self._autocast:
            losses: Losses = self._network(self._row)
        sums = torch.stack(losses)
        torch.autograd.backward(sums @ self._factors)
        return sums.detach()


def _alike(row: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    """Return whether two rows have one shape."""
    pairs = zip(row, other, strict=True)
    return all(part.shape == twin.shape for part, twin in pairs)

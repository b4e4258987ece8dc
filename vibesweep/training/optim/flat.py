"""All that a model trains in one tensor, and its gradient in another.

The norm, the clipping, and optimizers to which a number is a number whatever tensor it is in then
take a few kernels, where hundreds of tensors take hundreds.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from vibesweep.training.optim.optimizers import trained_in

ALIGNMENT = 16
"""Numbers that each parameter's place is a multiple of, so that kernels read whole vectors."""


class FlatParameters(nn.Module):
    """A model's trained parameters as views of one tensor, and their gradients of another.

    What decays comes first. Nobody may set the model's gradients to None: they are views.

    Attributes:
        matrices: what decays [1, P]; it has two axes, as weight decay is for matrices.
        vectors: what does not [Q].
        gradient: gradient of both [P + Q].
    """

    gradient: Tensor

    def __init__(self, model: nn.Module) -> None:
        """Move what the model trains into one tensor; the values stay."""
        super().__init__()
        trained = list(trained_in(model))
        decaying = [part.parameter for part in trained if part.decays]
        others = [part.parameter for part in trained if not part.decays]
        size = _places(decaying)
        values = _moved([*decaying, *others], size + _places(others))
        gradient = torch.zeros_like(values)
        _view_gradients([*decaying, *others], gradient)
        self.register_buffer("gradient", gradient)
        if decaying:
            self.matrices = nn.Parameter(values[:size].unsqueeze(0))
            self.matrices.grad = gradient[:size].unsqueeze(0)
        if others:
            self.vectors = nn.Parameter(values[size:])
            self.vectors.grad = gradient[size:]

    def clip(self, norm: Tensor, largest: float) -> None:
        """Scale the gradient of this norm down to the largest one, as torch does."""
        scale = largest / (norm + 1e-6)
        self.gradient.mul_(scale.clamp(max=1.0))


def _places(parameters: Sequence[nn.Parameter]) -> int:
    return sum(_place(part) for part in parameters)


def _place(parameter: nn.Parameter) -> int:
    """Count the numbers that a parameter takes, the gap behind it included."""
    return -(-parameter.numel() // ALIGNMENT) * ALIGNMENT


@torch.no_grad()
def _moved(parameters: Sequence[nn.Parameter], size: int) -> Tensor:
    """Make the parameters views of one tensor with their values [size]."""
    values = parameters[0].new_zeros(size)
    start = 0
    for part in parameters:
        view = values[start : start + part.numel()].view(part.shape)
        view.copy_(part)
        part.data = view
        start += _place(part)
    return values.detach()


def _view_gradients(parameters: Sequence[nn.Parameter], gradient: Tensor) -> None:
    """Make the parameters' gradients views of one tensor; autograd adds into them."""
    start = 0
    for part in parameters:
        part.grad = gradient[start : start + part.numel()].view(part.shape)
        start += _place(part)

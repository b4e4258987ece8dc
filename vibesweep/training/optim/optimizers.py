"""Optimizers by name, and which of a model's parameters decay or are Muon's.

What a library implements well is taken from it: ``torch.optim`` where it has the optimizer, else
pytorch-optimizer or bitsandbytes. tests/unit/test_training_optim.py holds the first steps of each
against its paper.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import plain_model

Groups = list[dict[str, Any]]
"""Parameter groups as torch's optimizers take them."""

Builder = Callable[[nn.Module, TrialSettings], torch.optim.Optimizer]

ADAM_BETAS = (0.9, 0.98)
"""beta2 = 0.98: the second moment adapts within a short trial's few steps (Vaswani et al. 2017,
section 5.3)."""


class TrainedParameter(NamedTuple):
    """A parameter that is trained, and where it is.

    Attributes:
        path: the path of its module.
        module: its module.
        name: its name in the module.
        parameter: the parameter itself.
    """

    path: str
    module: nn.Module
    name: str
    parameter: nn.Parameter

    @property
    def decays(self) -> bool:
        """Whether weight decay is meant for it: a matrix, and no gain or bias with two axes."""
        is_norm = "Norm" in type(self.module).__name__
        is_gain = is_norm or "lora_magnitude_vector" in self.path
        return self.parameter.ndim >= 2 and self.name != "bias" and not is_gain


def _adamw(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    groups = parameter_groups(model, settings.weight_decay)
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=ADAM_BETAS, fused=True)


def _lion(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    from pytorch_optimizer import Lion

    groups = parameter_groups(model, settings.weight_decay)
    return Lion(groups, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decouple=True)


def _adafactor(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    from pytorch_optimizer import AdaFactor

    # Steps of an absolute size. Torch's own are relative to each weight's size with a floor of
    # 0.001, and LoRA's B begins at zero: it would hardly move. No momentum, as in Shazeer and Stern
    # 2018, algorithm 4.
    groups = parameter_groups(model, settings.weight_decay)
    return AdaFactor(
        groups,
        lr=settings.learning_rate,
        betas=(None, 0.999),
        scale_parameter=False,
        relative_step=False,
    )


def _muon(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    from pytorch_optimizer import Muon

    # Moonlight's factor 0.2 sqrt(max(rows, columns)) gives every matrix AdamW's size of step (Liu
    # et al. 2025, eq. 4), so one learning rate serves both halves.
    shared = {"lr": settings.learning_rate, "weight_decouple": True}
    for_muon = {"use_muon": True, "use_adjusted_lr": True, **shared}
    for_adam = {"use_muon": False, "betas": ADAM_BETAS, "eps": 1e-8, **shared}
    groups = []
    for group in muon_groups(model, settings.weight_decay):
        options = for_muon if group.pop("hidden") else for_adam
        groups.append({**group, **options})
    return Muon(groups)


def _sgd(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    groups = parameter_groups(model, settings.weight_decay)
    return torch.optim.SGD(groups, lr=settings.learning_rate, momentum=0.9, nesterov=True)


def _schedule_free_adamw(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    from pytorch_optimizer import ScheduleFreeAdamW

    groups = parameter_groups(model, settings.weight_decay)
    return ScheduleFreeAdamW(groups, lr=settings.learning_rate, betas=ADAM_BETAS)


def _prodigy(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    from pytorch_optimizer import Prodigy

    # A warm-up must not count as a small distance. Adam's bias correction, which its authors advise
    # for long runs, is left out: on a quadratic it took off after more than 60 steps with it and
    # before the 30th without.
    groups = parameter_groups(model, settings.weight_decay)
    return Prodigy(groups, lr=settings.learning_rate, safeguard_warmup=True)


def _adamw_8bit(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not all(parameter.is_cuda for parameter in trained):
        raise _no_8bit("is trained on no CUDA device")
    if find_spec("bitsandbytes") is None:
        raise _no_8bit("finds no bitsandbytes")
    groups = parameter_groups(model, settings.weight_decay)
    bitsandbytes = import_module("bitsandbytes")
    optimizer: torch.optim.Optimizer = bitsandbytes.optim.AdamW8bit(
        groups, lr=settings.learning_rate, betas=ADAM_BETAS
    )
    return optimizer


def _no_8bit(lacks: str) -> ModelError:
    install = "install bitsandbytes on hosts with NVIDIA GPUs and give each worker one"
    fix = f"choose 'adamw', or {install}"
    return ModelError(f"adamw_8bit {lacks}", where="optimizer", fix=fix)


OPTIMIZERS: dict[str, Builder] = {
    "adamw": _adamw,
    "lion": _lion,
    "adafactor": _adafactor,
    "muon": _muon,
    "sgd": _sgd,
    "schedule_free_adamw": _schedule_free_adamw,
    "prodigy": _prodigy,
    "adamw_8bit": _adamw_8bit,
}
"""A new optimizer is one builder and one line here, in vibesweep.config and in
:data:`vibesweep.training.sizes.MOMENTS`."""


ELEMENTWISE = ("adamw", "lion", "sgd")
"""Optimizers to which a number is a number, whatever tensor it is in."""


def build_optimizer(
    model: nn.Module, settings: TrialSettings, flat: nn.Module | None = None
) -> torch.optim.Optimizer:
    """Build the settings' optimizer over what the model trains.

    Args:
        model: the trial's model.
        settings: name the optimizer.
        flat: the model's values in one tensor for those that decay and one for the others, where
            there are such; :data:`ELEMENTWISE` optimizers take two tensors in place of hundreds.

    Raises:
        ModelError: this host cannot run the optimizer.
    """
    source = model
    if flat is not None and settings.optimizer in ELEMENTWISE:
        source = flat
    return OPTIMIZERS[settings.optimizer](source, settings)


def parameter_groups(model: nn.Module, weight_decay: float) -> Groups:
    """Divide what the model trains into parameters that decay and parameters that do not.

    Only matrices decay, because the size of a norm's gain or of a bias means something. (Loshchilov
    and Hutter 2019 decay everything; practice does not.)
    """
    return _groups(list(trained_in(model)), weight_decay)


def muon_groups(model: nn.Module, weight_decay: float) -> Groups:
    """Divide what the model trains into Muon's parameters and AdamW's, marked by ``hidden``.

    Muon is for matrices between hidden states (Jordan et al. 2024). It is not for vectors,
    embeddings, or layers that latents enter by or predictions leave by
    (:attr:`vibesweep.models.speech_model.SpeechModel.edge_layers`). LoRA's A and B are such
    matrices: A maps hidden states to the adapter's few dimensions and B maps those back. Without
    them Muon would be AdamW under another name in a LoRA trial; docs/design/training.md has the
    figures. DoRA's norms are vectors.
    """
    edge = re.compile(plain_model(model).edge_layers)
    hidden: list[TrainedParameter] = []
    others: list[TrainedParameter] = []
    for trained in trained_in(model):
        side = hidden if trained.decays and _is_hidden(trained, edge) else others
        side.append(trained)
    groups = []
    for group in _groups(hidden, weight_decay):
        groups.append({**group, "hidden": True})
    for group in _groups(others, weight_decay):
        groups.append({**group, "hidden": False})
    return groups


def _is_hidden(trained: TrainedParameter, edge: re.Pattern[str]) -> bool:
    """Return whether a parameter is a matrix between hidden states."""
    is_matrix = trained.parameter.ndim == 2
    is_embedding = isinstance(trained.module, nn.Embedding)
    is_edge = edge.search(trained.path) is not None
    return is_matrix and not is_embedding and not is_edge


def trained_in(model: nn.Module) -> Iterator[TrainedParameter]:
    """Yield all parameters that are trained, each once."""
    seen: set[int] = set()
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                yield TrainedParameter(path, module, name, parameter)


def _groups(trained: list[TrainedParameter], weight_decay: float) -> Groups:
    """Make a group of the parameters that decay and one of the others; an empty one is left out."""
    decayed = [part.parameter for part in trained if part.decays]
    kept = [part.parameter for part in trained if not part.decays]
    groups: Groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]

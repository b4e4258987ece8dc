"""Optimizers by name, and which of a model's parameters decay or are Muon's.

Whatever a library keeps well is taken from it: ``torch.optim`` where it has the optimizer, else pytorch-optimizer or bitsandbytes.
tests/unit/test_training_optim.py holds the first steps of each against its paper.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import plain_model

Groups = list[dict[str, Any]]
Part = tuple[str, nn.Module, str, nn.Parameter]
"""A parameter with its module's path, its module, and its name in it."""

Builder = Callable[[nn.Module, TrialSettings], torch.optim.Optimizer]

ADAM_BETAS = (0.9, 0.98)
"""beta2 = 0.98: the second moment follows within a short trial's few steps (Vaswani et al. 2017, section 5.3)."""


def _adamw(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        parameter_groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        betas=ADAM_BETAS,
        fused=True,
    )


def _lion(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    from pytorch_optimizer import Lion

    groups = parameter_groups(model, settings.weight_decay)
    return Lion(groups, lr=settings.learning_rate, betas=(0.9, 0.99), weight_decouple=True)


def _adafactor(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    from pytorch_optimizer import AdaFactor

    # Steps of an absolute size. Torch's own are relative to each weight's size with a floor of 0.001, and LoRA's B begins at zero:
    # it would hardly move. No momentum, as in Shazeer and Stern 2018, algorithm 4.
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

    # Moonlight's factor 0.2 sqrt(max(rows, columns)) gives every matrix AdamW's size of step (Liu et al. 2025, eq. 4), so one learning
    # rate serves both halves.
    shared = {"lr": settings.learning_rate, "weight_decouple": True}
    orthogonal = {"use_muon": True, "use_adjusted_lr": True, **shared}
    adam = {"use_muon": False, "betas": ADAM_BETAS, "eps": 1e-8, **shared}
    return Muon(
        [
            {**group, **(orthogonal if group.pop("hidden") else adam)}
            for group in muon_groups(model, settings.weight_decay)
        ]
    )


def _sgd(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        parameter_groups(model, settings.weight_decay),
        lr=settings.learning_rate,
        momentum=0.9,
        nesterov=True,
    )


def _schedule_free_adamw(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    from pytorch_optimizer import ScheduleFreeAdamW

    if settings.schedule != "constant":
        found = f"schedule_free_adamw averages the weights in place of a falling rate, and the schedule is {settings.schedule!r}"
        raise ModelError(
            found,
            where="schedule",
            fix="choose the schedule 'constant' with this optimizer; it still warms up",
        )
    return ScheduleFreeAdamW(
        parameter_groups(model, settings.weight_decay), lr=settings.learning_rate, betas=ADAM_BETAS
    )


def _prodigy(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    from pytorch_optimizer import Prodigy

    # A warm-up must not count as a small distance. Adam's bias correction, which its authors advise for long runs, is left out: on a
    # quadratic it took off after more than 60 steps with it and before the 30th without.
    groups = parameter_groups(model, settings.weight_decay)
    return Prodigy(groups, lr=settings.learning_rate, safeguard_warmup=True)


def _adamw_8bit(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    on_cuda = all(parameter.is_cuda for parameter in model.parameters() if parameter.requires_grad)
    if find_spec("bitsandbytes") is None or not on_cuda:
        lacks = "is trained on no CUDA device" if not on_cuda else "finds no bitsandbytes"
        fix = "choose 'adamw', or install bitsandbytes on hosts with NVIDIA GPUs and give each worker one"
        raise ModelError(f"adamw_8bit {lacks}", where="optimizer", fix=fix)
    groups = parameter_groups(model, settings.weight_decay)
    eight_bit: torch.optim.Optimizer = import_module("bitsandbytes").optim.AdamW8bit(
        groups, lr=settings.learning_rate, betas=ADAM_BETAS
    )
    return eight_bit


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
"""A new optimizer is one builder and one line here."""


def build_optimizer(model: nn.Module, settings: TrialSettings) -> torch.optim.Optimizer:
    """Build the optimizer over what the model trains.

    Raises:
        ModelError: there is no optimizer of that name, this host cannot run it, or another setting does not go with it.
    """
    if settings.optimizer not in OPTIMIZERS:
        fix = f"choose one of {', '.join(OPTIMIZERS)}"
        raise ModelError(
            f"there is no optimizer {settings.optimizer!r}", where="optimizer", fix=fix
        )
    return OPTIMIZERS[settings.optimizer](model, settings)


def parameter_groups(model: nn.Module, weight_decay: float) -> Groups:
    """Decay matrices only: a norm's or a bias's size means something (Loshchilov and Hutter 2019 decay all; practice does not)."""
    parts = {
        parameter: decays(path, module, name, parameter)
        for path, module, name, parameter in _trained(model)
    }
    return _groups([p for p in parts if parts[p]], [p for p in parts if not parts[p]], weight_decay)


def muon_groups(model: nn.Module, weight_decay: float) -> Groups:
    """Split what the model trains into Muon's part and AdamW's, marked by ``hidden``.

    Muon is for matrices between hidden states (Jordan et al. 2024): not for embeddings, the layers that latents come in by or
    predictions go out by (:attr:`vibesweep.models.family.SpeechModel.edge_layers`), nor for vectors. LoRA's A and B are such matrices:
    A maps hidden states to the adapter's few and B maps those back. Without them Muon would be AdamW under another name in a LoRA
    trial; docs/design/training.md has the figures. DoRA's norms are vectors.
    """
    edge = re.compile(plain_model(model).edge_layers)
    parts = list(_trained(model))
    hidden = [part for part in parts if decays(*part) and _is_hidden(edge, part)]
    muons = {id(parameter) for *_, parameter in hidden}
    rest = [part for part in parts if id(part[-1]) not in muons]
    adams = _groups(
        [part[-1] for part in rest if decays(*part)],
        [part[-1] for part in rest if not decays(*part)],
        weight_decay,
    )
    orthogonal = _groups([parameter for *_, parameter in hidden], [], weight_decay)
    return [{**group, "hidden": True} for group in orthogonal] + [
        {**group, "hidden": False} for group in adams
    ]


def decays(path: str, module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    """Whether a module's own parameter of this name is a matrix that weight decay is meant for, and no gain or bias of two axes."""
    is_gain = "Norm" in type(module).__name__ or "lora_magnitude_vector" in path
    return parameter.ndim >= 2 and name != "bias" and not is_gain


def _is_hidden(edge: re.Pattern[str], part: Part) -> bool:
    path, module, _, parameter = part
    return (
        parameter.ndim == 2 and not isinstance(module, nn.Embedding) and edge.search(path) is None
    )


def _trained(model: nn.Module) -> Iterator[Part]:
    """Yield all that is trained, each parameter once."""
    seen: set[int] = set()
    for path, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                yield path, module, name, parameter


def _groups(decayed: list[nn.Parameter], kept: list[nn.Parameter], weight_decay: float) -> Groups:
    groups: Groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    return [group for group in groups if group["params"]]

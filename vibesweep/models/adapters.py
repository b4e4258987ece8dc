"""What a trial trains of its base: LoRA adapters (peft), all weights, or the upper layers only."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.tuners.tuners_utils import BaseTunerLayer
from torch import Tensor, nn

from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.tensor_files import SAFETENSORS_METADATA, save_tensors

if TYPE_CHECKING:
    from vibesweep.models.speech_model import SpeechModel

LORA_TARGETS = ("attention", "attention+mlp")
"""Targets that every model family has a pattern for; any other is read as a regular expression."""

PEFT_PREFIX = "base_model.model."
"""What peft puts before the names of a model's tensors."""

ADAPTER_WEIGHTS = "adapter_model.safetensors"
"""Name of the file that peft reads an adapter's weights from."""

LAYERS_SHOWN = 6
"""Number of layer names in the error about a pattern that matches none."""


def for_trial(base: SpeechModel, settings: TrialSettings, *, drawn: bool = True) -> nn.Module:
    """Make a trial's own model; the base itself is left as it is.

    With ``lora`` the model shares with the base all weights that it does not train, so that it
    needs memory for little more than its adapters. ``full`` and ``freeze`` copy the whole base. A
    base that is kept in bf16 is copied in float32 for these and for a trial in float32.

    Args:
        base: what the trial tunes.
        settings: the trial's.
        drawn: whether adapters have first weights, which takes the 1.5B a second; without, they
            are whatever the memory holds, until somebody fills them.

    Raises:
        ModelError: the settings do not fit the model.
    """
    if settings.method == "lora":
        computes_in_bf16 = settings.precision == "bf16"
        shared = base if computes_in_bf16 else _in_float32(base)
        return _with_lora(shared, settings, drawn=drawn)
    model = copy.deepcopy(base)
    _widen(model)
    model.requires_grad_(True)
    if settings.method == "freeze":
        model.freeze_lowest(settings.freeze_layers)
    return model


def load_trained(
    base: SpeechModel, settings: TrialSettings, tensors: Mapping[str, Tensor], where: str
) -> nn.Module:
    """Make a trial's model and copy the tensors into it that the trial has trained.

    Args:
        base: the base that the trial fine-tuned.
        settings: what the trial was trained with.
        tensors: the trained parameters by their names in the trial's model, and no others.
        where: where the tensors come from, for errors.

    Raises:
        ModelError: the settings do not fit the base, or the tensors do not fit both.
    """
    model = for_trial(base, settings)
    parameters = {name: part for name, part in model.named_parameters() if part.requires_grad}
    copy_trained(parameters, tensors, where)
    return model


def copy_trained(
    parameters: Mapping[str, Tensor], tensors: Mapping[str, Tensor], where: str
) -> None:
    """Copy what a trial has trained into a model's parameters of the same names.

    Raises:
        ModelError: the names or the shapes are not the same.
    """
    if tensors.keys() != parameters.keys():
        found = "the checkpoint holds other parameters than its settings train"
        raise ModelError(found, where=where)
    with torch.no_grad():
        for name, parameter in parameters.items():
            _check_shape(name, tensors[name], parameter, where)
            parameter.copy_(tensors[name])


def _check_shape(name: str, tensor: Tensor, parameter: Tensor, where: str) -> None:
    if tensor.shape != parameter.shape:
        shapes = f"{list(tensor.shape)}, and {list(parameter.shape)} in the base's model"
        raise ModelError(f"the checkpoint's {name} has shape {shapes}", where=where)


def save_adapter(model: PeftModel, settings: TrialSettings, folder: Path) -> None:
    """Write what a LoRA trial trained, so that plain peft finds all of it.

    Heads and connectors that were trained in full are peft's ``modules_to_save``.

    Args:
        model: the trial's.
        settings: what it was trained with.
        folder: made if it is not there.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plain = plain_model(model)
    full_parts = _parts(plain, settings, "full")
    own_config = cast(LoraConfig, model.peft_config["default"])
    config = replace(own_config, inference_mode=True, modules_to_save=full_parts or None)
    config.save_pretrained(str(folder))
    state = get_peft_model_state_dict(model)
    for part in full_parts:
        for name, tensor in plain.get_submodule(part).state_dict().items():
            state[f"{PEFT_PREFIX}{part}.{name}"] = tensor
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    save_tensors(tensors, folder / ADAPTER_WEIGHTS, SAFETENSORS_METADATA)


def merged(model: nn.Module) -> SpeechModel:
    """Return the plain speech model of a trial's model, with any LoRA added into its weights."""
    if isinstance(model, PeftModel):
        # peft merges in place, but the base shares these weights
        own = copy.deepcopy(model)
        return cast("SpeechModel", own.merge_and_unload())
    return cast("SpeechModel", model)


def plain_model(model: nn.Module) -> SpeechModel:
    """Return the speech model inside a trial's model; LoRA stays in its layers, unmerged."""
    if isinstance(model, PeftModel):
        return cast("SpeechModel", model.get_base_model())
    return cast("SpeechModel", model)


def trained_parameters(model: nn.Module) -> tuple[int, int]:
    """Return how many parameters are trained, and how many the model has."""
    parameters = list(model.parameters())
    trained = sum(part.numel() for part in parameters if part.requires_grad)
    total = sum(part.numel() for part in parameters)
    return trained, total


def _with_lora(base: SpeechModel, settings: TrialSettings, *, drawn: bool) -> PeftModel:
    """Make a model with adapters, which shares the base's frozen weights."""
    base_device = next(base.parameters()).device
    is_skeleton = base_device.type == "meta"
    is_empty = is_skeleton or not drawn
    full_parts = _parts(base, settings, "full")
    layers = adapted_layers(base, settings)
    pattern = "|".join(map(re.escape, layers))
    config = lora_config(settings, pattern)
    unadapted = _copy_sharing_weights(base, full_parts)
    with warnings.catch_warnings():
        # peft looks for the base on the hub, to name it on the adapter's card; ours is not there
        warnings.simplefilter("ignore", UserWarning)
        adapted = get_peft_model(unadapted, config, low_cpu_mem_usage=is_empty)
    model = cast(PeftModel, adapted)
    if is_empty:
        _give_memory(model, base_device)
    # peft's modules_to_save would keep the frozen weights of these parts beside their copies
    for part in full_parts:
        trained = plain_model(model).get_submodule(part)
        _widen(trained)
        trained.requires_grad_(True)
    if settings.precision == "bf16":
        _leave_inputs_alone(model)
    return model


def _give_memory(model: PeftModel, device: torch.device) -> None:
    """Give memory on a device to adapters that have shapes alone."""
    for module in model.modules():
        if isinstance(module, LoraLayer):
            module.lora_A.to_empty(device=device)
            module.lora_B.to_empty(device=device)


def narrow(model: nn.Module) -> None:
    """Keep all parameters in bf16. Buffers stay as they are: tables are looked up in float32."""
    for part in model.parameters():
        part.data = part.data.to(torch.bfloat16)


def _widen(model: nn.Module) -> None:
    """Give float32 to parameters that are kept in bf16."""
    for part in model.parameters():
        if part.dtype == torch.bfloat16:
            part.data = part.data.float()


def _in_float32(base: SpeechModel) -> SpeechModel:
    """Return the base, or a copy in float32 where it is kept in bf16."""
    if all(part.dtype != torch.bfloat16 for part in base.parameters()):
        return base
    model = copy.deepcopy(base)
    _widen(model)
    return model


def _leave_inputs_alone(model: nn.Module) -> None:
    """Keep peft from casting each adapter's input to float32, which autocast would cast back."""
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            layer: Any = module  # nn.Module's attributes are typed as tensors and modules
            layer.cast_input_dtype_enabled = False


def _copy_sharing_weights(base: SpeechModel, copied_parts: Iterable[str]) -> SpeechModel:
    """Copy a base's modules and the weights of ``copied_parts``; share all its other weights."""
    shared: dict[int, object] = {}
    for tensor in (*base.parameters(), *base.buffers()):
        shared[id(tensor)] = tensor
    for name in copied_parts:
        part = base.get_submodule(name)
        for parameter in part.parameters():
            shared.pop(id(parameter), None)
    return copy.deepcopy(base, memo=shared)


def lora_config(settings: TrialSettings, layers: str | list[str]) -> LoraConfig:
    """Return peft's configuration of a trial's adapters.

    Args:
        settings: what the trial trains with.
        layers: names of the adapted layers, or a regular expression of them.
    """
    alpha = lora_alpha(settings)
    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=cast(int, alpha),  # peft only divides it by the rank or the rank's root
        lora_dropout=settings.lora_dropout,
        target_modules=layers,
        use_rslora=settings.lora_rslora,
        use_dora=settings.lora_dora,
    )


def lora_alpha(settings: TrialSettings) -> float:
    """Return alpha as it is set, or by its ratio to the rank."""
    if settings.lora_alpha is None:
        return settings.lora_rank * settings.lora_alpha_ratio
    return settings.lora_alpha


def adapted_layers(base: SpeechModel, settings: TrialSettings) -> list[str]:
    """Return the names of the linear layers that LoRA adapts.

    They are those that the targets match, except in heads and connectors that are trained in full
    or frozen.

    Raises:
        ModelError: the targets match no linear layer, or the family lacks the heads or connectors
            that ``lora_head`` or ``lora_connectors`` is set for.
    """
    targets = settings.lora_targets
    pattern = base.lora_pattern(targets) if targets in LORA_TARGETS else targets
    layers = _layers_open_to_lora(base, settings)
    matched = [name for name in layers if re.fullmatch(pattern, name)]
    if not matched:
        raise _nothing_matched(targets, layers)
    return matched


def _layers_open_to_lora(base: SpeechModel, settings: TrialSettings) -> list[str]:
    """Return the names of all linear layers outside of the parts in full and the frozen parts."""
    closed_parts = _parts(base, settings, "full") + _parts(base, settings, "frozen")
    prefixes = tuple(f"{part}." for part in closed_parts)
    linear = [name for name, module in base.named_modules() if isinstance(module, nn.Linear)]
    return [name for name in linear if not f"{name}.".startswith(prefixes)]


def _nothing_matched(targets: str, layers: Sequence[str]) -> ModelError:
    stride = max(len(layers) // LAYERS_SHOWN, 1)
    examples = ", ".join(layers[::stride][:LAYERS_SHOWN])
    return ModelError(
        f"there are no LoRA targets {targets!r}: no linear layer has such a name",
        where="lora_targets",
        fix=f"choose {', '.join(LORA_TARGETS)} or an expression for whole names such as {examples}",
    )


def _parts(base: SpeechModel, settings: TrialSettings, how: str) -> list[str]:
    """Return the names of the heads and connectors that are trained in this way.

    Raises:
        ModelError: a setting is about parts that the family does not have.
    """
    chosen: list[str] = []
    for name, choice, parts in (
        ("lora_head", settings.lora_head, base.heads),
        ("lora_connectors", settings.lora_connectors, base.connectors),
    ):
        if not parts and choice != "lora":
            found = f"the family {base.family!r} has none"
            raise ModelError(found, where=name, fix="choose 'lora'")
        if choice == how:
            chosen += parts
    return chosen

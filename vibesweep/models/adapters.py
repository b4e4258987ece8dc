"""What a trial trains of a model: LoRA through peft, everything, or everything above the lowest layers."""

from __future__ import annotations

import copy
import re
import warnings
from typing import TYPE_CHECKING, cast

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn

from vibesweep.config import LORA_PARTS, METHODS, TrialSettings
from vibesweep.errors import ModelError

if TYPE_CHECKING:
    from vibesweep.models.family import SpeechModel

LORA_TARGETS = ("attention", "attention+mlp")
"""What a model family knows by name; anything else is read as a regular expression."""

LAYERS_SHOWN = 6
"""Names that an error shows of the layers a pattern could have matched."""


def for_trial(base: SpeechModel, settings: TrialSettings) -> nn.Module:
    """Make a trial's own model of a base that stays as it is.

    Weights that the trial does not train are shared with the base, so a LoRA trial costs no more memory than its adapters.

    Raises:
        ModelError: the method is unknown or its settings do not fit the model.
    """
    if settings.method == "lora":
        return _with_lora(base, settings)
    if settings.method == "full":
        return _copied(base)
    if settings.method == "freeze":
        model = _copied(base)
        model.freeze_lowest(settings.freeze_layers)
        return model
    raise ModelError(
        f"there is no method {settings.method!r}",
        where="method",
        fix=f"choose one of {', '.join(METHODS)}",
    )


def merged(model: nn.Module) -> SpeechModel:
    """Return the plain model with any LoRA added into its weights."""
    if isinstance(model, PeftModel):
        # peft merges in place, and these weights are shared with the base
        return cast("SpeechModel", copy.deepcopy(model).merge_and_unload())
    return cast("SpeechModel", model)


def plain_model(model: nn.Module) -> SpeechModel:
    """Return the speech model in a trial's model: its own modules, LoRA inside them, nothing merged."""
    return cast("SpeechModel", model.get_base_model() if isinstance(model, PeftModel) else model)


def trained_parameters(model: nn.Module) -> tuple[int, int]:
    """How many parameters are trained, and how many there are."""
    sizes = [(part.numel(), part.requires_grad) for part in model.parameters()]
    return sum(size for size, trains in sizes if trains), sum(size for size, _ in sizes)


def _copied(base: SpeechModel) -> SpeechModel:
    model = copy.deepcopy(base)
    model.requires_grad_(True)
    return model


def _with_lora(base: SpeechModel, settings: TrialSettings) -> PeftModel:
    if settings.lora_rank < 1:
        raise ModelError(
            f"lora_rank is {settings.lora_rank}", where="lora_rank", fix="choose 1 or more"
        )
    in_full = _parts(base, settings, "full")
    own = {id(tensor) for part in in_full for tensor in base.get_submodule(part).parameters()}
    shared = {
        id(tensor): tensor
        for tensor in (*base.parameters(), *base.buffers())
        if id(tensor) not in own
    }
    config = lora_config(
        settings, "|".join(re.escape(name) for name in adapted_layers(base, settings))
    )
    with warnings.catch_warnings():
        # peft looks for the base's name on the hub to write it into the adapter's card; ours has none
        warnings.simplefilter("ignore", UserWarning)
        model = cast(PeftModel, get_peft_model(copy.deepcopy(base, memo=dict(shared)), config))
    for part in (
        in_full
    ):  # not by peft's modules_to_save, which would keep the frozen ones beside their copies
        plain_model(model).get_submodule(part).requires_grad_(True)
    return model


def lora_config(settings: TrialSettings, layers: str | list[str]) -> LoraConfig:
    """What peft is told of a trial's adapters, on the layers of these names or of this regular expression."""
    alpha = (
        settings.lora_rank * settings.lora_alpha_ratio
        if settings.lora_alpha is None
        else settings.lora_alpha
    )
    return LoraConfig(
        r=settings.lora_rank,
        lora_alpha=cast(int, alpha),  # peft divides it by the rank, or by its root; whole or not
        lora_dropout=settings.lora_dropout,
        target_modules=layers,
        use_rslora=settings.lora_rslora,
        use_dora=settings.lora_dora,
    )


def adapted_layers(base: SpeechModel, settings: TrialSettings) -> list[str]:
    """Names of the linear layers that LoRA adapts: what the targets match, less the heads and connectors where those are not LoRA's.

    Raises:
        ModelError: the pattern is none, or matches no linear layer; ``lora_head`` or ``lora_connectors`` is unknown.
    """
    named = settings.lora_targets in LORA_TARGETS
    try:
        pattern = re.compile(
            base.lora_pattern(settings.lora_targets) if named else settings.lora_targets
        )
    except re.error as error:
        found = f"{settings.lora_targets!r} is no regular expression: {error}"
        raise ModelError(
            found, where="lora_targets", fix=f"mend it, or choose one of {', '.join(LORA_TARGETS)}"
        ) from error
    closed = tuple(f"{part}." for how in ("full", "frozen") for part in _parts(base, settings, how))
    layers = [
        name
        for name, module in base.named_modules()
        if isinstance(module, nn.Linear) and not f"{name}.".startswith(closed)
    ]
    matched = [name for name in layers if pattern.fullmatch(name)]
    if not matched:
        shown = ", ".join(layers[:: max(len(layers) // LAYERS_SHOWN, 1)][:LAYERS_SHOWN])
        found = (
            f"there are no LoRA targets {settings.lora_targets!r}: no linear layer has such a name"
        )
        fix = f"choose {', '.join(LORA_TARGETS)} or an expression for whole names such as {shown}"
        raise ModelError(found, where="lora_targets", fix=fix)
    return matched


def _parts(base: SpeechModel, settings: TrialSettings, how: str) -> list[str]:
    """The heads and connectors that are trained in this way."""
    chosen: list[str] = []
    for name, parts in (("lora_head", base.heads), ("lora_connectors", base.connectors)):
        setting = getattr(settings, name)
        if setting not in LORA_PARTS:
            raise ModelError(
                f"there is no {name} {setting!r}",
                where=name,
                fix=f"choose one of {', '.join(LORA_PARTS)}",
            )
        if not parts and setting != "lora":
            raise ModelError(
                f"the family {base.family!r} has none", where=name, fix="choose 'lora'"
            )
        chosen += parts if setting == how else ()
    return chosen

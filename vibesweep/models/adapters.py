"""What a trial trains of a model: LoRA through peft, everything, or everything above the lowest layers."""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, cast

from peft import LoraConfig, PeftModel, get_peft_model

from vibesweep.config import METHODS, TrialSettings
from vibesweep.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

    from vibesweep.models.base import SpeechModel


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
    raise ModelError(f"there is no method {settings.method!r}", where="method", fix=f"choose one of {', '.join(METHODS)}")


def merged(model: nn.Module) -> SpeechModel:
    """Return the plain model with any LoRA added into its weights."""
    if isinstance(model, PeftModel):
        # peft merges in place, and these weights are shared with the base
        return cast("SpeechModel", copy.deepcopy(model).merge_and_unload())
    return cast("SpeechModel", model)


def _copied(base: SpeechModel) -> SpeechModel:
    model = copy.deepcopy(base)
    model.requires_grad_(True)
    return model


def _with_lora(base: SpeechModel, settings: TrialSettings) -> PeftModel:
    if settings.lora_rank < 1:
        raise ModelError(f"lora_rank is {settings.lora_rank}", where="lora_rank", fix="choose 1 or more")
    shared = {id(tensor): tensor for tensor in (*base.parameters(), *base.buffers())}
    config = LoraConfig(
        r=settings.lora_rank,
        lora_alpha=cast(int, settings.lora_rank * settings.lora_alpha_ratio),  # peft divides it by the rank; whole or not
        lora_dropout=settings.lora_dropout,
        target_modules=base.lora_pattern(settings.lora_targets),
    )
    with warnings.catch_warnings():
        # peft looks for the base's name on the hub to write it into the adapter's card; ours has none
        warnings.simplefilter("ignore", UserWarning)
        return cast(PeftModel, get_peft_model(copy.deepcopy(base, memo=dict(shared)), config))

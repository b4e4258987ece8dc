"""What of a trial's settings a model may refuse. Neither torch nor a model is needed to ask."""

from __future__ import annotations

from dataclasses import replace

from vibesweep.config import TrialSettings

PLAIN = TrialSettings()
TAKEN_BY_ALL = frozenset({PLAIN, replace(PLAIN, method="full")})
"""What every family takes."""


def asked_of_model(settings: TrialSettings) -> TrialSettings:
    """Return plain settings with what a model may refuse, each such value one for all its like.

    Ranks and rates fit every model. Whether there is dropout or silence matters, how much does not.
    """
    has_silence = settings.silence_before_s > 0 or settings.silence_after_s > 0
    asked = replace(
        PLAIN,
        method=settings.method,
        attention_dropout=0.5 if settings.attention_dropout else 0.0,
        gradient_checkpointing=settings.gradient_checkpointing,
        compile=settings.compile,
        silence_after_s=1.0 if has_silence else 0.0,
    )
    if settings.ema_decay is not None:
        asked = replace(asked, ema_decay=0.5, ema_parts=settings.ema_parts)
    if settings.method == "freeze":
        return replace(asked, freeze_layers=settings.freeze_layers)
    if settings.method == "full":
        return asked
    return replace(
        asked,
        lora_targets=settings.lora_targets,
        lora_head=settings.lora_head,
        lora_connectors=settings.lora_connectors,
    )

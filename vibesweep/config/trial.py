"""What one trial is trained with, and which values each setting may have."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields

from vibesweep.config import checks
from vibesweep.config.checks import (
    check_choices,
    check_ranges,
    check_types,
    refuse,
    refuse_together,
)

METHODS = ("lora", "full", "freeze")
OPTIMIZERS = (
    "adamw",
    "lion",
    "adafactor",
    "muon",
    "sgd",
    "schedule_free_adamw",
    "prodigy",
    "adamw_8bit",
)
SCHEDULES = ("constant", "linear", "cosine", "wsd")
PRECISIONS = ("float32", "bf16")
AVERAGED_PARTS = ("all", "heads")
LORA_PARTS = ("lora", "full", "frozen")
"""How heads and connectors are trained beside LoRA."""

CHOICES = {
    "method": METHODS,
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "precision": PRECISIONS,
    "ema_parts": AVERAGED_PARTS,
    "lora_head": LORA_PARTS,
    "lora_connectors": LORA_PARTS,
}
COUNTS = ("batch_clips", "micro_batch_tokens", "lora_rank", "patience_reports")
POSITIVE = (
    "learning_rate",
    "batch_seconds",
    "grad_clip_norm",
    "lora_alpha_ratio",
    "lora_alpha",
    "ema_decay",
)
NOT_NEGATIVE = (
    "weight_decay",
    "freeze_layers",
    "diffusion_weight",
    "stop_weight",
    "silence_before_s",
    "silence_after_s",
)
SHARES = (
    "warmup_fraction",
    "cooldown_fraction",
    "lora_dropout",
    "attention_dropout",
    "specaugment_time_share",
    "specaugment_dims_share",
    "ema_decay",
    "base_share",
)
RANGES = (
    (checks.AT_LEAST_ONE, COUNTS),
    (checks.ABOVE_ZERO, POSITIVE),
    (checks.AT_LEAST_ZERO, NOT_NEGATIVE),
    (checks.FROM_ZERO_TO_ONE, (*SHARES, "voice_prompt_drop")),
    (checks.BELOW_ONE, SHARES),
    (checks.SEED, ("seed",)),
)


@dataclass(frozen=True)
class TrialSettings:
    """What one trial is trained with. A search space may suggest each field under its own name.

    Whatever does not depend on the model is checked here: a field's type, its range, its choices,
    and fields that exclude each other. Integers become floats where a float is declared.

    Attributes:
        method: ``lora``, ``full`` or ``freeze`` (full, except for the lowest ``freeze_layers``
            layers and the embeddings).
        learning_rate: the peak, after the warm-up; for ``prodigy`` a factor near 1 on the rate that
            it finds by itself.
        optimizer: one of :data:`OPTIMIZERS`.
        weight_decay: decoupled (``sgd`` adds it to the gradient), on matrices only.
        schedule: one of :data:`SCHEDULES`: the shape of the learning rate after the warm-up.
        warmup_fraction: share of the budget's steps in which the rate climbs from zero.
        cooldown_fraction: share of the budget's steps in which ``wsd`` falls to zero at the end;
            the other schedules ignore it.
        batch_clips: clips per optimizer step, over all workers and micro-batches.
        batch_seconds: seconds of speech per optimizer step, instead of ``batch_clips``.
        micro_batch_tokens: tokens that a worker computes at once; ``None`` takes what fits its
            device.
        grad_clip_norm: largest L2 norm of the whole gradient.
        ema_decay: share of itself that the average of the trained weights keeps per step; the
            average is what is validated and saved. ``None`` averages nothing.
        ema_parts: which trained weights are averaged: ``all`` or ``heads``.
        base_share: share of the weights that training began with in the weights that are validated
            and saved (Wortsman et al. 2022, WiSE-FT): little tuning data makes a base forget how to
            speak clearly, and a share of it brings that back.
        precision: ``float32`` or ``bf16``: autocast in training. Trained weights and losses stay in
            float32; frozen ones, on a GPU, in the type of the checkpoint.
        gradient_checkpointing: compute the backbone's layers again in the backward pass instead of
            keeping their activations.
        compile: have torch compile the layers of a trial that has its own model; on a GPU most
            trials use one model after another, whose layers are compiled once in any case.
        attention_dropout: dropout of the backbone's attention weights in training.
        specaugment_time_share: share of a clip's own latents, in spans, that are hidden in training
            where they are fed back.
        specaugment_dims_share: share of the latent dimensions that are hidden there for a whole
            clip.
        voice_prompt_drop: probability of training a clip without its voice prompts; ``None`` is the
            model family's own.
        silence_before_s: seconds of silence before each clip in training, in steps of a latent
            (2/15 s); VibeVoice only, at most the 2 s that its shards hold.
        silence_after_s: seconds of silence after it, so that the voice does not learn to cut its
            last word; also at most 2 s.
        lora_rank: rank of each LoRA pair.
        lora_alpha_ratio: alpha divided by rank, so that the rank can be swept without changing the
            scale.
        lora_alpha: alpha itself, instead of the ratio; ``None`` leaves it to the ratio.
        lora_dropout: dropout in front of each LoRA pair.
        lora_targets: ``attention``, ``attention+mlp`` or a regular expression that matches whole
            names of linear layers.
        lora_rslora: scale by alpha over the rank's square root instead of the rank (Kalajdzievski
            2023).
        lora_dora: train each adapted weight's column norms as well (Liu et al. 2024, DoRA).
        lora_head: how the diffusion and the stop head are trained under ``lora``: ``lora`` (as far
            as the targets include them), ``full`` or ``frozen``.
        lora_connectors: the same for the connectors, through which latents enter the backbone.
        freeze_layers: number of lowest backbone layers that ``freeze`` does not train.
        diffusion_weight: weight of the diffusion loss in training; validation has its own, fixed
            weights.
        stop_weight: weight of the go-on/stop loss in training.
        patience_reports: stop after this many reports without a better validation loss; ``None``
            never stops early.
        seed: seed of the data order, prompts, noise and dropout; 0 means the sweep's own.

    Raises:
        SpaceError: a value that no trial can use; ``where`` names the setting.
        CombinationError: values of several fields that do not go together.
    """

    method: str = "lora"
    learning_rate: float = 1e-4
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup_fraction: float = 0.05
    cooldown_fraction: float = 0.2
    batch_clips: int = 8
    batch_seconds: float | None = None
    micro_batch_tokens: int | None = None
    grad_clip_norm: float = 1.0
    ema_decay: float | None = None
    ema_parts: str = "all"
    base_share: float = 0.0
    precision: str = "float32"
    gradient_checkpointing: bool = False
    compile: bool = False
    attention_dropout: float = 0.0
    specaugment_time_share: float = 0.0
    specaugment_dims_share: float = 0.0
    voice_prompt_drop: float | None = None
    silence_before_s: float = 0.0
    silence_after_s: float = 0.0
    lora_rank: int = 8
    lora_alpha_ratio: float = 4.0
    lora_alpha: float | None = None
    lora_dropout: float = 0.05
    lora_targets: str = "attention+mlp"
    lora_rslora: bool = False
    lora_dora: bool = False
    lora_head: str = "lora"
    lora_connectors: str = "lora"
    freeze_layers: int = 2
    diffusion_weight: float = 1.0
    stop_weight: float = 0.2
    patience_reports: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no trial can use."""
        check_types(self)
        check_choices(self, CHOICES)
        check_ranges(self, RANGES)
        self._check_schedule_free()
        self._check_schedule_shares()
        self._check_loss_weights()
        self._check_lora_targets()

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """Return the names that a search space may suggest."""
        return tuple(field.name for field in fields(cls))

    def _check_schedule_free(self) -> None:
        if self.optimizer != "schedule_free_adamw":
            return
        if self.schedule != "constant":
            found = f"schedule is {self.schedule!r} with schedule_free_adamw"
            raise refuse_together(self, "schedule", found, "return schedule='constant' with it")
        if self.ema_decay is not None:
            found = "schedule_free_adamw averages the weights itself"
            raise refuse_together(self, "ema_decay", found, "leave ema_decay at None with it")

    def _check_schedule_shares(self) -> None:
        if self.schedule == "wsd" and self.warmup_fraction + self.cooldown_fraction > 1:
            warmup = f"warmup_fraction {self.warmup_fraction:g}"
            cooldown = f"cooldown_fraction {self.cooldown_fraction:g}"
            found = f"{warmup} and {cooldown} are over 1 together"
            fix = "choose shares that leave the steps between them"
            raise refuse_together(self, "cooldown_fraction", found, fix)

    def _check_loss_weights(self) -> None:
        if self.diffusion_weight == 0 and self.stop_weight == 0:
            found = "diffusion_weight and stop_weight are both 0"
            fix = "give one of them a weight"
            raise refuse_together(self, "diffusion_weight", found, fix)

    def _check_lora_targets(self) -> None:
        try:
            re.compile(self.lora_targets)
        except re.error as error:
            found = f"lora_targets {self.lora_targets!r} is no regular expression: {error}"
            fix = "mend it, or choose attention or attention+mlp"
            raise refuse(self, "lora_targets", found, fix) from error

"""Where a search of VibeVoice checkpoints may start: LoRA, and the recipe that people share."""

from __future__ import annotations

from vibesweep.models.recipe import Recipe

SPACE = """\
# The rate decides most, and the best one is nearly the same at every rank (Schulman et al.
# 2025, "LoRA Without Regret"): search the rank after this, once the rate is known.
trial.suggest_float("learning_rate", 2e-5, 1e-3, log=True)
# Large batches cost LoRA more than training in full.
trial.suggest_categorical("batch_clips", [4, 8, 16])
trial.suggest_categorical("schedule", ["cosine", "constant", "wsd"])
trial.suggest_categorical("lora_dropout", [0.0, 0.05, 0.1])
"""
SHARED = {"batch_clips": 8, "schedule": "cosine", "lora_dropout": 0.05}
"""What people who tune VibeVoice share, beside the rate 2.5e-5."""

RECIPE = Recipe(
    space=SPACE,
    settings={
        "method": "lora",
        "lora_rank": 16,
        "lora_alpha_ratio": 4.0,
        "lora_head": "full",
        "warmup_fraction": 0.03,
        "grad_clip_norm": 0.8,
        "diffusion_weight": 1.4,
        "stop_weight": 0.04,
        "ema_decay": 0.99,
        "ema_parts": "heads",
        "voice_prompt_drop": 0.2,
        "precision": "bf16",
    },
    settings_why="The recipe that people share: LoRA on the backbone, the diffusion head in full",
    budget={"max_steps": 1_350, "grace_steps": 50},
    budget_why="Three rungs leave most of the time to a few trials",
    trials=24,
    try_first=({"learning_rate": 2.5e-5, **SHARED}, {"learning_rate": 2.5e-4, **SHARED}),
    resources={"cpus_per_worker": 4, "gpus_per_worker": 1},
)

"""Variants of LoRA on VibeVoice: rank, scale, DoRA, rsLoRA, and how head and losses are treated.

Run it after vibevoice_lora.py, with the batch, schedule and dropout that won there put into
`settings` below. Each variant needs a rate of its own to be compared at all, so the rate is swept
along (arXiv 2602.04998: ten variants within 1 to 2 % once it is).

python -m vibesweep run search_spaces/vibevoice_lora_variants.py --corpus my_recordings
"""

from typing import Any

import optuna

from vibesweep import Budget, Sweep, TrialResources, TrialSettings


def space(trial: optuna.Trial) -> dict[str, Any]:
    """Suggest one trial.

    A frozen head has no weights of its own to average: then all that is trained is averaged.
    """
    trial.suggest_float("learning_rate", 2e-5, 1e-3, log=True)
    trial.suggest_categorical("lora_rank", [4, 8, 16, 32, 64])
    trial.suggest_categorical("lora_alpha_ratio", [1.0, 2.0, 4.0])
    trial.suggest_categorical("lora_rslora", [False, True])
    trial.suggest_categorical("lora_dora", [False, True])
    trial.suggest_float("diffusion_weight", 0.5, 2.0)
    trial.suggest_float("stop_weight", 0.01, 0.5, log=True)
    head = trial.suggest_categorical("lora_head", ["full", "lora", "frozen"])
    return {"ema_parts": "all" if head == "frozen" else "heads"}


sweep = Sweep(
    space=space,
    corpus="my_recordings",
    model="vibevoice:vibevoice/VibeVoice-1.5B-hf",
    settings=TrialSettings(
        method="lora",
        lora_dropout=0.05,
        batch_clips=8,
        schedule="cosine",
        warmup_fraction=0.03,
        grad_clip_norm=0.8,
        ema_decay=0.99,
        voice_prompt_drop=0.2,
        precision="bf16",
    ),
    budget=Budget(max_steps=1_350, grace_steps=50, reduction_factor=3),
    trials=40,
    resources=TrialResources(cpus_per_worker=4, gpus_per_worker=1),
    try_first=(
        {
            "learning_rate": 2.5e-4,
            "lora_rank": 16,
            "lora_alpha_ratio": 4.0,
            "lora_rslora": False,
            "lora_dora": False,
            "diffusion_weight": 1.4,
            "stop_weight": 0.04,
            "lora_head": "full",
        },
    ),
    seed=0,
)

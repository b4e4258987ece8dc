"""LoRA on VibeVoice: the learning rate first of all, then batch, schedule and dropout.

The rate decides. LoRA's best one is about ten times that of training in full and nearly the same
at every rank, and large batches cost LoRA more than training in full (Schulman et al. 2025, "LoRA
Without Regret"). Ten variants of LoRA lay within 1 to 2 % of each other once each had its own rate
(arXiv 2602.04998), so rank and variants are a space of their own, vibevoice_lora_variants.py, for
afterwards. The recipe that the community shares, 2.5e-5, is tried first, and ten times its rate.

python -m vibesweep run search_spaces/vibevoice_lora.py --corpus my_recordings
"""

import optuna

from vibesweep import Budget, Sweep, TrialResources, TrialSettings


def space(trial: optuna.Trial) -> None:
    """Suggest one trial."""
    trial.suggest_float("learning_rate", 2e-5, 1e-3, log=True)
    trial.suggest_categorical("batch_clips", [4, 8, 16])
    trial.suggest_categorical("schedule", ["cosine", "constant", "wsd"])
    trial.suggest_categorical("lora_dropout", [0.0, 0.05, 0.1])


COMMUNITY = {"batch_clips": 8, "schedule": "cosine", "lora_dropout": 0.05}

sweep = Sweep(
    space=space,
    corpus="my_recordings",
    model="vibevoice:vibevoice/VibeVoice-1.5B-hf",
    settings=TrialSettings(
        method="lora",
        lora_rank=16,
        lora_alpha_ratio=4.0,
        lora_head="full",
        warmup_fraction=0.03,
        grad_clip_norm=0.8,
        diffusion_weight=1.4,
        stop_weight=0.04,
        ema_decay=0.99,
        ema_parts="heads",
        voice_prompt_drop=0.2,
        precision="bf16",
    ),
    budget=Budget(max_steps=1_350, grace_steps=50, reduction_factor=3),
    trials=24,
    resources=TrialResources(cpus_per_worker=4, gpus_per_worker=1),
    try_first=(
        {"learning_rate": 2.5e-5, **COMMUNITY},
        {"learning_rate": 2.5e-4, **COMMUNITY},
    ),
    seed=0,
)

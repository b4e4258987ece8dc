"""LoRA on VibeVoice: learning rate, rank, how the head is trained and what each loss weighs.

The community's recipes are tried first.

python -m vibesweep run search_spaces/vibevoice_lora.py --corpus my_recordings
"""

import optuna

from vibesweep import Budget, Sweep, TrialResources, TrialSettings


def space(trial: optuna.Trial) -> None:
    """Suggest one trial.

    A diffusion head trained in full needs a lower rate than LoRA alone; one wide range holds both.
    """
    trial.suggest_float("learning_rate", 1e-6, 3e-4, log=True)
    trial.suggest_categorical("lora_rank", [4, 8, 16, 32, 64])
    trial.suggest_categorical("lora_alpha_ratio", [1.0, 2.0, 4.0])
    trial.suggest_categorical("lora_head", ["full", "lora", "frozen"])
    trial.suggest_float("diffusion_weight", 0.5, 2.0)
    trial.suggest_float("stop_weight", 0.01, 0.5, log=True)


COMMUNITY = {
    "lora_alpha_ratio": 4.0,
    "lora_head": "full",
    "diffusion_weight": 1.4,
    "stop_weight": 0.04,
}

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
        ema_parts="heads",
        voice_prompt_drop=0.2,
        precision="bf16",
    ),
    budget=Budget(max_steps=1_350, grace_steps=50, reduction_factor=3),
    trials=40,
    resources=TrialResources(cpus_per_worker=4, gpus_per_worker=1),
    try_first=(
        {"learning_rate": 2.5e-5, "lora_rank": 8, **COMMUNITY},
        {"learning_rate": 1e-4, "lora_rank": 32, **COMMUNITY},
    ),
    seed=0,
)

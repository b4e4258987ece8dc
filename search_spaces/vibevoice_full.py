"""VibeVoice trained in full, or above its lowest layers: for hours of recordings and large GPUs.

python -m vibesweep run search_spaces/vibevoice_full.py --corpus my_recordings

A worker of the 1.5B takes some 35 GB: where a cluster has smaller GPUs too, name the large ones
below, as in accelerator_type="H100".
"""

import optuna

from vibesweep import Budget, Sweep, TrialResources, TrialSettings


def space(trial: optuna.Trial) -> None:
    """Suggest one trial.

    The frozen layers are the lowest of 28. Silence after the clips keeps last words whole.
    """
    trial.suggest_float("learning_rate", 3e-7, 5e-5, log=True)
    trial.suggest_categorical("optimizer", ["adamw", "adafactor", "lion"])
    if trial.suggest_categorical("method", ["full", "freeze"]) == "freeze":
        trial.suggest_categorical("freeze_layers", [7, 14, 21])
    trial.suggest_categorical("silence_after_s", [0.0, 0.4])


sweep = Sweep(
    space=space,
    corpus="my_recordings",
    model="vibevoice:vibevoice/VibeVoice-1.5B-hf",
    settings=TrialSettings(
        method="full",
        batch_seconds=240.0,
        warmup_fraction=0.03,
        grad_clip_norm=0.8,
        diffusion_weight=1.4,
        stop_weight=0.04,
        voice_prompt_drop=0.2,
        precision="bf16",
        gradient_checkpointing=True,
    ),
    budget=Budget(max_steps=900, grace_steps=100, reduction_factor=3),
    trials=16,
    resources=TrialResources(workers=2, cpus_per_worker=4, gpus_per_worker=1),
    try_first=(
        {"learning_rate": 1e-5, "optimizer": "adamw", "method": "full", "silence_after_s": 0.0},
    ),
    seed=0,
)

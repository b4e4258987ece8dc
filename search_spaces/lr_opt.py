"""Learning rate x optimizer x method: the first sweep that anybody runs.

python -m vibesweep run search_spaces/lr_opt.py
python -m vibesweep run search_spaces/lr_opt.py --corpus my_recordings
"""

import optuna

from vibesweep import Budget, Sweep, TrialSettings


def space(trial: optuna.Trial) -> None:
    """Suggest one trial.

    Lion's good learning rates are some ten times lower than AdamW's, and those of training in full
    some three times lower than LoRA's; one wide range holds them all.
    """
    trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    trial.suggest_categorical("optimizer", ["adamw", "lion"])
    if trial.suggest_categorical("method", ["full", "lora"]) == "lora":
        trial.suggest_categorical("lora_rank", [8, 16, 32])


sweep = Sweep(
    space=space,
    corpus="demo",
    model="mel-small",
    # A quarter of the base stays in what is saved: it keeps voices clear
    settings=TrialSettings(batch_clips=4, ema_decay=0.99, base_share=0.25),
    # Each clip is heard 4 times, in short corpora more; three rungs leave the time to few trials
    budget=Budget(max_epochs=4, grace_epochs=4 / 27, least_steps=66),
    trials=12,
    try_first=(
        {"learning_rate": 1e-3, "optimizer": "adamw", "method": "full"},
        {"learning_rate": 3e-3, "optimizer": "adamw", "method": "lora", "lora_rank": 32},
    ),
    seed=0,
)

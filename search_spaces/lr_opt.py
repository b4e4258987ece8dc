"""Learning rate x optimizer x LoRA rank on the demo corpus: the first sweep that anybody runs.

python -m vibesweep run search_spaces/lr_opt.py
python -m vibesweep run search_spaces/lr_opt.py --corpus my_recordings --trials 40
"""

import optuna

from vibesweep import Budget, Sweep, TrialSettings


def space(trial: optuna.Trial) -> None:
    """Suggest one trial.

    Lion's good learning rates are some ten times lower than AdamW's; one wide range holds both.
    """
    trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    trial.suggest_categorical("optimizer", ["adamw", "lion"])
    trial.suggest_categorical("lora_rank", [4, 8, 16, 32])


sweep = Sweep(
    space=space,
    corpus="demo",
    model="mel-tiny",
    settings=TrialSettings(method="lora", batch_clips=4),
    budget=Budget(max_steps=54, grace_steps=6, reduction_factor=3),
    trials=12,
    seed=0,
)

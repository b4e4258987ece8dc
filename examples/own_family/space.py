"""A sweep of the family of one's own; own_family.py says how to install it and make its base."""

import optuna

from vibesweep import Budget, Sweep, TrialSettings


def space(trial: optuna.Trial) -> None:
    """Suggest one trial."""
    trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)


sweep = Sweep(
    space=space,
    corpus="demo",
    model="own_base",
    settings=TrialSettings(method="full", batch_clips=4),
    budget=Budget(max_steps=12, grace_steps=4, reduction_factor=3),
    trials=3,
    lanes=1,  # a network of this size is trained before a second lane is up
)

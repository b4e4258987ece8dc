"""A sweep within a limit of one's own; own_metric.py says how to install its measure."""

import optuna

from vibesweep import Sweep, TrialSettings


def space(trial: optuna.Trial) -> None:
    """Suggest one trial."""
    trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)


sweep = Sweep(
    space=space,
    corpus="demo",
    settings=TrialSettings(method="full", batch_clips=4, ema_decay=0.99),
    trials=8,
    limits={"pauses": 0.1},  # objective="pauses" would rank by it
)

"""The grid of the article: three learning rates x two optimizers, all trained for the whole budget.

python -m vibesweep run search_spaces/article_grid.py
"""

from itertools import product

from optuna.distributions import CategoricalDistribution

from vibesweep import Budget, Sweep, TrialSettings

RATES = [1e-4, 5e-5, 1e-5]
OPTIMIZERS = ["adamw", "lion"]

sweep = Sweep(
    space={
        "learning_rate": CategoricalDistribution(RATES),
        "optimizer": CategoricalDistribution(OPTIMIZERS),
    },
    try_first=tuple(
        {"learning_rate": rate, "optimizer": optimizer}
        for rate, optimizer in product(RATES, OPTIMIZERS)
    ),
    settings=TrialSettings(method="lora", lora_rank=8),
    budget=Budget(max_steps=54, grace_steps=54),
    trials=6,
)

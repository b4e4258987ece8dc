"""The search of a sweep with a trainable of your own, in a plain Ray Tune Tuner.

    python examples/plain_tuner.py

The trainable reports ``loss_val`` and ``step``, at the steps that the budget asks for. Here it fits
a line through noisy points, which takes no time.
"""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
from ray import tune

from vibesweep import Budget
from vibesweep.sweep.search.scheduler import StepAsha
from vibesweep.sweep.search.searcher import StepSearch

BUDGET = Budget(max_steps=81, grace_steps=9)
REPORT_STEPS = BUDGET.report_steps
TRIALS = 8
FOLDER = Path("tune_results").resolve()


def space(trial: optuna.Trial) -> dict[str, object]:
    """Suggest one trial; what is returned is fixed."""
    trial.suggest_float("learning_rate", 1e-4, 1.0, log=True)
    trial.suggest_float("momentum", 0.0, 0.99)
    return {"seed": 0}


def train(config: dict[str, Any]) -> None:
    """Fit a line by gradient descent with momentum, and report its loss."""
    draws = np.random.default_rng(config["seed"])
    x = draws.uniform(-1, 1, 64)
    y = 3 * x + 1 + draws.normal(0, 0.1, 64)
    line = np.zeros(2)
    velocity = np.zeros(2)
    for step in range(1, REPORT_STEPS[-1] + 1):
        missed = line[0] * x + line[1] - y
        slope = np.array([np.mean(missed * x), np.mean(missed)])
        velocity = config["momentum"] * velocity - config["learning_rate"] * slope
        line += velocity
        if step in REPORT_STEPS:
            tune.report({"loss_val": float(np.mean(missed**2)), "step": step})


def main() -> None:
    """Search, and say what was found."""
    search = StepSearch(space, max_steps=BUDGET.last_step, trials=TRIALS)
    tuner = tune.Tuner(
        train,
        tune_config=tune.TuneConfig(
            num_samples=TRIALS,
            max_concurrent_trials=2,
            reuse_actors=True,
            search_alg=search,
            scheduler=StepAsha(BUDGET),
        ),
        run_config=tune.RunConfig(storage_path=str(FOLDER), verbose=0),
    )
    tuner.fit()
    trials = search.study.trials_dataframe().sort_values("value")
    best = trials.iloc[0]
    stopped = (trials["state"] == "PRUNED").sum()
    print(best)
    print(f"best loss {best['value']:.4f}; {stopped} of {TRIALS} trials were stopped early")


if __name__ == "__main__":
    main()

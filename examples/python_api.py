"""The whole way in Python: search, look, export, speak.

    python examples/python_api.py my_recordings

Four short trials, over in minutes; docs/spaces.md tells how long to search in earnest.
"""

import sys

import optuna

from vibesweep import Budget, Sweep, TrialSettings


def space(trial: optuna.Trial) -> None:
    """Suggest one trial."""
    trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    trial.suggest_categorical("optimizer", ["adamw", "lion"])


def main(corpus: str) -> None:
    """Tune mel-small on a corpus and have it speak."""
    sweep = Sweep(
        space=space,
        corpus=corpus,
        settings=TrialSettings(method="full", batch_clips=4, ema_decay=0.99),
        budget=Budget(max_steps=18, grace_steps=6),
        trials=4,
    )
    sweep.run("python_api")
    results = Sweep.load("python_api")  # what run returns too; a sweep that still runs can be read
    print(results)
    print(results.trials[["number", "state", "best_loss_val", "learning_rate"]])
    print(results.reports.groupby("trial")["loss_val"].min())
    best, first = results.best, results.trial(0)
    print(f"trial {best.number}, {best.swept}: {best.loss:.3f}; trial 0: {first.loss:.3f}")
    print(f"LoRA was not swept: method {best.settings.method}")
    voice = best.export("python_api_voice")
    speech = voice.synthesize("The door was open.", "python_api.wav")
    print(f"{speech.seconds:.1f} s in python_api.wav")
    print(f"report: {results.report()}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "demo")

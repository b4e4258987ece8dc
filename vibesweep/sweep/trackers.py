"""MLflow and Weights & Biases hear of a sweep's trials, through Ray's own callbacks for them.

Where they keep what they hear is set as their own users know it: by MLFLOW_TRACKING_URI and its
like, and by WANDB_MODE, WANDB_DIR, WANDB_PROJECT and `wandb login`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from typing import Any

from ray import tune

from vibesweep.errors import SweepError
from vibesweep.progress import Say

PROJECT = "vibesweep"
"""W&B's project and MLflow's experiment, unless the environment names another."""
NOT_TRACKED = frozenset(("report", "done", "config", "pid", "timestamp", "errors"))
"""What Ray Tune's results hold beside figures of the trial."""

UPLOAD_TIMEOUT_S = 60
"""Ray would wait half an hour for uploads at a sweep's end."""


def _mlflow(sweep: str) -> Any:
    import mlflow
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    return MLflowLoggerCallback(
        # Ray's callback would set it to nothing
        tracking_uri=mlflow.get_tracking_uri(),
        experiment_name=os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT),
        tags={"sweep": sweep},
    )


def _wandb(sweep: str) -> Any:
    from ray.air.integrations.wandb import WandbLoggerCallback

    # Its process works in Tune's folder, which goes with the sweep
    folder = os.path.abspath(os.environ.get("WANDB_DIR", "."))
    project = os.environ.get("WANDB_PROJECT", PROJECT)
    mode = os.environ.get("WANDB_MODE")
    return WandbLoggerCallback(
        project=project,
        group=sweep,
        dir=folder,
        mode=mode,
        upload_timeout=UPLOAD_TIMEOUT_S,
    )


TRACKERS: dict[str, Callable[[str], Any]] = {"mlflow": _mlflow, "wandb": _wandb}
"""Ray's callback for each tracker, made for the sweep of a name; each is an extra."""


class Tracker(tune.Callback):
    """Tells a tracker of each trial; one that fails is told no more, and the sweep goes on."""

    def __init__(self, name: str, callback: Any, say: Say) -> None:
        """Tell through Ray's callback, which is set up."""
        self._name = name
        self._callback = callback
        self._say = say
        self._fails = False

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out of the Tuner that Ray Tune pickles."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open a run with the trial's settings."""
        self._tell(self._callback.log_trial_start, trial)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Enter the figures of a report."""
        self._tell(self._callback.log_trial_result, iteration, trial, figures_of(result))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """End the run."""
        self._tell(self._callback.log_trial_end, trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """End the run as failed."""
        self._tell(self._callback.log_trial_end, trial, failed=True)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Wait until the tracker has all of it."""
        self._tell(self._callback.on_experiment_end, trials)

    def _tell(self, call: Callable[..., None], *values: Any, **more: Any) -> None:
        if self._fails:
            return
        try:
            call(*values, **more)
        except Exception as error:
            self._fails = True
            self._say(f"warning: {self._name} is told no more of this sweep: {error}")


def figures_of(result: dict[str, Any]) -> dict[str, Any]:
    """Return what a tracker is told of a report: finite numbers, at the optimizer's step.

    A trial that has diverged has an infinite loss, of which MLflow would make 1.8e308.
    """
    report = result["report"] or {}
    found = {key: value for key, value in result.items() if key not in NOT_TRACKED}
    heard = report.get("heard", {})
    told = report | heard | found
    figures = {key: value for key, value in told.items() if _is_finite(value)}
    # MLflow's callback takes this for the step, and W&B's the iteration
    step = result["step"]
    return figures | {"timesteps_total": step, "training_iteration": step}


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def open_trackers(names: Iterable[str], sweep: str, say: Say) -> tuple[Tracker, ...]:
    """Make trackers for a sweep, ready to be told of its trials.

    Args:
        names: of which trackers.
        sweep: the sweep's name.
        say: called with a line where one fails later.

    Raises:
        SweepError: there is no such tracker, it is not installed, or it does not answer.
    """
    trackers = []
    for name in names:
        callback = _opened(name, sweep)
        trackers.append(Tracker(name, callback, say))
    return tuple(trackers)


def _opened(name: str, sweep: str) -> Any:
    where = f"--track {name}"
    if name not in TRACKERS:
        fix = f"choose of {', '.join(TRACKERS)}"
        raise SweepError("there is no such tracker", where=where, fix=fix)
    try:
        callback = TRACKERS[name](sweep)
        callback.setup()
    except (ImportError, RuntimeError) as error:
        fix = f'`pip install "vibesweep[{name}]"` installs it'
        raise SweepError(f"it cannot be loaded: {error}", where=where, fix=fix) from error
    except Exception as error:  # each tracker has errors of its own
        fix = "see docs/watching.md for what it needs"
        raise SweepError(f"it does not answer: {error}", where=where, fix=fix) from error
    return callback

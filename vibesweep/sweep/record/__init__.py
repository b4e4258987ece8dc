"""What a sweep leaves on disk, and how it is watched.

states.py says how a trial ends; whether one ends at a rung is decided in search/scheduler.py, and
which report is a trial's best by the lane that trains it (training/lanes/trial_runner.py). log.py
hears of each event, events.py writes it as a line, replay.py makes the record of such lines,
record.py is that record and names the best trial, and folder.py owns the files' names;
staged_folder.py mirrors them into a store. claim.py and owner.py say whose a sweep is, and
requests.py holds what is asked of one that runs. commit.py says which state of vibesweep ran,
study.py opens Optuna's study, curves.py writes TensorBoard's files, metrics.py tells Prometheus.
standing.py counts the trials as they come, plan.py holds what a sweep was expected to take, and
grid.py how large a full grid would be. progress.py, show.py, table.py and trials_table.py print;
overfitting.py, seeds.py, arrival.py and front.py say what a reader of the trials should know.
"""

from vibesweep.sweep.record.folder import SweepFolder, find_sweep, list_sweeps
from vibesweep.sweep.record.record import SweepRecord, TrialRecord, sweep_as_json
from vibesweep.sweep.record.states import SweepState, TrialState

__all__ = [
    "SweepFolder",
    "SweepRecord",
    "SweepState",
    "TrialRecord",
    "TrialState",
    "find_sweep",
    "list_sweeps",
    "sweep_as_json",
]

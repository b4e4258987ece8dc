"""The vocabulary of a sweep: frozen dataclasses that refuse values nobody can use.

corpus.py says how recordings become shards, trial.py what one trial trains with, budget.py for how
long, sweep.py what a search tries, guess.py what is probably good in it, reports.py what a trial
reports, costs.py which of that it takes; checks.py holds shared checks.
"""

from vibesweep.config.budget import Budget, epoch_steps
from vibesweep.config.corpus import SPLIT_BY, CorpusSettings, MelSettings
from vibesweep.config.guess import Guess
from vibesweep.config.reports import Report, StepRecord
from vibesweep.config.sweep import AS_MANY_AS_FIT, STEP_TIMEOUT_S, Sweep, TrialResources
from vibesweep.config.trial import (
    AVERAGED_PARTS,
    LORA_PARTS,
    METHODS,
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    TrialSettings,
)

__all__ = [
    "AS_MANY_AS_FIT",
    "AVERAGED_PARTS",
    "LORA_PARTS",
    "METHODS",
    "OPTIMIZERS",
    "PRECISIONS",
    "SCHEDULES",
    "SPLIT_BY",
    "STEP_TIMEOUT_S",
    "Budget",
    "CorpusSettings",
    "Guess",
    "MelSettings",
    "Report",
    "StepRecord",
    "Sweep",
    "TrialResources",
    "TrialSettings",
    "epoch_steps",
]

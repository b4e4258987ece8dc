"""What a search tries, on what, and for how long."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vibesweep.config.budget import Budget
from vibesweep.config.checks import (
    ABOVE_ZERO,
    AT_LEAST_ONE,
    AT_LEAST_ZERO,
    FROM_ZERO_TO_ONE,
    SEED,
    check_ranges,
    check_types,
    refuse,
)
from vibesweep.config.costs import COSTS
from vibesweep.config.guess import Guess
from vibesweep.config.trial import TrialSettings

if TYPE_CHECKING:
    import optuna

    DefineByRun = Callable[[optuna.Trial], Mapping[str, Any] | None]
    Space = DefineByRun | Mapping[str, optuna.distributions.BaseDistribution]
else:
    Space = object  # for get_type_hints: Sweep looks at its space itself

WORKER_RANGES = (
    (AT_LEAST_ONE, ("workers",)),
    (AT_LEAST_ZERO, ("cpus_per_worker", "gpus_per_worker")),
)
DEFAULT_MODEL = "mel-small"
STEP_TIMEOUT_S = 600.0
"""Compiling a model takes some two minutes, within the first step."""
FITS_THE_CORPUS = Budget(max_epochs=8, grace_epochs=8 / 27, least_steps=120)
"""Rungs at 1/27, 1/9 and 1/3 of a whole trial: most trials of a dozen take little of the time."""
MOST_OBJECTIVES = 2
AS_MANY_AS_FIT = "auto"
MOST_THAT_FIT = 8
"""Trials of a lane that is to train as many as fit. On one H100 a step of 256 tokens took 15 ms
alone, 5.5 ms for each of 8 trials, and 4.6 ms for each of 32."""
SWEEP_RANGES = (
    (AT_LEAST_ONE, ("trials", "lanes", "keep_checkpoints")),
    (AT_LEAST_ZERO, ("repeat_best",)),
    (SEED, ("seed",)),
    (FROM_ZERO_TO_ONE, ("max_failed_fraction",)),
    (ABOVE_ZERO, ("step_timeout_s",)),
)


@dataclass(frozen=True)
class TrialResources:
    """What one trial occupies while it trains: a number of workers, each with its share.

    Attributes:
        workers: processes that train one trial together.
        cpus_per_worker: CPUs of each worker.
        gpus_per_worker: 1 for a GPU each; a fraction such as 0.5 lets several one-worker trials
            share a GPU.
        accelerator_type: the GPU model, as Ray names it (``L4``, ``A100``, ``H100``); ``None``
            takes any, but the same for all workers of a trial.
    """

    workers: int = 1
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0
    accelerator_type: str | None = None

    def __post_init__(self) -> None:
        """Refuse workers that could never start."""
        check_types(self)
        check_ranges(self, WORKER_RANGES)
        if not (self.cpus_per_worker or self.gpus_per_worker):
            found = "a worker holds neither CPUs nor GPUs"
            raise refuse(self, "cpus_per_worker", found, "give it one of them")
        self._check_one_gpu_a_worker()
        self._check_accelerator_type()

    def _check_one_gpu_a_worker(self) -> None:
        """Refuse workers that PyTorch or NCCL could not run."""
        gpus = self.gpus_per_worker
        found = f"gpus_per_worker is {gpus:g}"
        if gpus > 1:
            total = round(self.workers * gpus)
            choice = f"choose gpus_per_worker=1 and workers={total}"
            fix = f"a worker computes on one GPU: {choice}"
            raise refuse(self, "gpus_per_worker", found, fix)
        if self.workers > 1 and 0 < gpus < 1:
            found = f"{found} with {self.workers} workers"
            choice = "choose workers=1, or gpus_per_worker=1"
            fix = f"NCCL takes no two workers of a trial on one GPU: {choice}"
            raise refuse(self, "gpus_per_worker", found, fix)

    def _check_accelerator_type(self) -> None:
        if not self.accelerator_type or self.gpus_per_worker:
            return
        found = f"accelerator_type is {self.accelerator_type} and gpus_per_worker is 0"
        fix = "choose gpus_per_worker=1, or leave accelerator_type out"
        raise refuse(self, "accelerator_type", found, fix)

    @property
    def in_words(self) -> str:
        """What a lane needs, as ``2 workers with 1 GPU and 4 CPUs``."""
        parts = []
        if self.gpus_per_worker:
            parts.append(f"{self.gpus_per_worker:g} {self.accelerator_type or 'GPU'}")
        if self.cpus_per_worker:
            plural = "s" if self.cpus_per_worker > 1 else ""
            parts.append(f"{self.cpus_per_worker} CPU{plural}")
        worker = " and ".join(parts)
        return worker if self.workers == 1 else f"{self.workers} workers with {worker}"


@dataclass(frozen=True)
class Sweep:
    """A search over fine-tunings of one base on one corpus. A space file defines ``sweep``.

    Attributes:
        space: a function of an ``optuna.Trial`` that suggests :class:`TrialSettings` fields by name
            and may return further fixed ones, or a dict of ``optuna.distributions``.
        corpus: a corpus folder, a folder of shards, or ``demo`` for the corpus that vibesweep
            speaks itself.
        model: the base to fine-tune: the name of one that comes with vibesweep, a base's folder, or
            ``vibevoice:<folder or hub id>``.
        settings: the settings that the space does not suggest.
        budget: how long a trial may train, and when ASHA decides; it fits the corpus unless given.
        trials: how many settings are tried.
        try_first: settings to try before the sampler chooses any.
        guesses: what settings are probably best at, by name; the search leans towards that until it
            knows more.
        fixed: values that take the place of what the space suggests, by name.
        repeat_best: how many of the best trials are run again with other seeds at the end.
        resources: what one trial occupies.
        objective: what trials are ranked by: ``loss_val``, or a measure of how they sound, such as
            ``mcd_db``, whose nearness to its ideal counts (docs/design/quality.md lists them). Of
            two, as in ``("loss_val", "step_ms")``, the second is sought as well: another measure,
            ``step_ms``, ``peak_memory_mb`` or ``trained_parameters``, less for better.
        limits: measures that a trial must keep: for each the value that is as far from its ideal as
            is allowed. One that does not ranks behind all that do.
        lanes: worker groups that train at the same time; ``None`` takes as many as the cluster
            holds, or may grow to hold.
        trials_per_lane: most trials that a lane trains at the same time. On a GPU adapters and
            heads of LoRA trials are computed in one pass, in which each takes a small part of what
            it takes alone; each needs memory of its own, and a lane trains fewer where not all fit.
            ``auto`` is up to 8 on a GPU, and one elsewhere.
        seed: seed of the sampler, and of every trial's data order and noise, so that trials can be
            compared pair by pair.
        max_failed_fraction: the sweep ends when more than this fraction of its trials has failed;
            1 lets it go on in any case.
        step_timeout_s: a trial's workers are ended, with their stacks written down, when no
            optimizer step was done for so long; the trial goes on from its last state.
        keep_checkpoints: how many of the best trials that have ended keep their checkpoints.
        starts_from: folder of a checkpoint that every trial begins with: its weights, and the steps
            that it has behind it. The settings must train the same parts as it did.
    """

    space: Space
    corpus: str = "demo"
    model: str = DEFAULT_MODEL
    settings: TrialSettings = field(default_factory=TrialSettings)
    budget: Budget = FITS_THE_CORPUS
    trials: int = 12
    try_first: tuple[Mapping[str, Any], ...] = ()
    guesses: Mapping[str, Guess] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    repeat_best: int = 0
    resources: TrialResources = field(default_factory=TrialResources)
    lanes: int | None = None
    trials_per_lane: int | str = AS_MANY_AS_FIT
    seed: int = 0
    objective: str | tuple[str, ...] = "loss_val"
    limits: Mapping[str, float] = field(default_factory=dict)
    max_failed_fraction: float = 1.0
    step_timeout_s: float = STEP_TIMEOUT_S
    keep_checkpoints: int = 5
    starts_from: str | None = None

    def __post_init__(self) -> None:
        """Refuse a sweep that could never run, as one without trials."""
        self._check_space()
        self._check_try_first()
        check_types(self)
        check_ranges(self, SWEEP_RANGES)
        self._check_objective()
        self._check_limits()
        self._check_guesses()
        self._check_trials_per_lane()

    @property
    def most_lanes(self) -> int:
        """More lanes than these would have no trial; a GPU is worth more than a seat on another."""
        if isinstance(self.trials_per_lane, str):
            return self.trials
        return math.ceil(self.trials / self.trials_per_lane)

    def most_trials_of_a_lane(self, lanes: int) -> int:
        """Return how many trials each of so many lanes trains at the same time, if they fit."""
        if isinstance(self.trials_per_lane, int):
            return self.trials_per_lane
        resources = self.resources
        if resources.workers > 1 or not resources.gpus_per_worker:
            return 1
        share = math.ceil(self.trials / lanes)
        return min(share, MOST_THAT_FIT)

    def trials_at_once(self, lanes: int) -> int:
        """Return how many trials this number of lanes trains at the same time, if they fit."""
        return min(lanes * self.most_trials_of_a_lane(lanes), self.trials)

    def _check_guesses(self) -> None:
        for name, guess in self.guesses.items():
            if not isinstance(guess, Guess):
                found = f"the guess of {name} is {guess!r}"
                fix = f'give a Guess: guesses={{"{name}": Guess({guess!r}, sure="fairly")}}'
                raise refuse(self, "guesses", found, fix)

    def _check_trials_per_lane(self) -> None:
        """Refuse what is no number, and several trials in a process that waits for others."""
        several = self.trials_per_lane
        if several == AS_MANY_AS_FIT:
            return
        if isinstance(several, str) or several < 1:
            found = f"trials_per_lane is {several!r}"
            fix = f"choose at least 1, or {AS_MANY_AS_FIT!r}"
            raise refuse(self, "trials_per_lane", found, fix)
        workers = self.resources.workers
        if several == 1 or workers == 1:
            return
        found = f"trials_per_lane is {self.trials_per_lane} with {workers} workers a trial"
        fix = "choose workers=1, or trials_per_lane=1"
        raise refuse(self, "trials_per_lane", found, fix)

    def _check_objective(self) -> None:
        """Refuse more objectives than two, and a cost that is sought first."""
        names = (self.objective,) if isinstance(self.objective, str) else self.objective
        found = f"objective is {self.objective!r}"
        if not all(isinstance(name, str) for name in names) or len(set(names)) != len(names):
            raise refuse(self, "objective", found, 'name each once: ("loss_val", "step_ms")')
        if not 1 <= len(names) <= MOST_OBJECTIVES:
            raise refuse(self, "objective", found, "name one or two; others may be limits")
        if names[0] in COSTS:
            fix = f'what is cheapest need not be trained: give ("loss_val", "{names[0]}")'
            raise refuse(self, "objective", found, fix)

    def _check_limits(self) -> None:
        for name, limit in self.limits.items():
            is_number = isinstance(limit, int | float) and not isinstance(limit, bool)
            if is_number and math.isfinite(limit):
                continue
            found = f"the limit of {name} is {limit!r}"
            raise refuse(self, "limits", found, 'give a number, as in {"ran_on": 0.2}')

    def _check_space(self) -> None:
        if callable(self.space) or isinstance(self.space, Mapping):
            return
        found = f"space is {self.space!r}"
        fix = "give a function of an optuna.Trial or a dict of optuna.distributions"
        raise refuse(self, "space", found, fix)

    def _check_try_first(self) -> None:
        """Refuse points that are no dicts of settings; a list of them becomes a tuple."""
        points = self.try_first
        if not isinstance(points, list | tuple):
            found = f"try_first is {points!r}"
            fix = "give a tuple of dicts; one dict alone is written ({...},)"
            raise refuse(self, "try_first", found, fix)
        for number, point in enumerate(points):
            if not isinstance(point, Mapping):
                found = f"try_first[{number}] is {point!r}"
                fix = "give a dict with a value for each setting that the space suggests"
                raise refuse(self, "try_first", found, fix)
        object.__setattr__(self, "try_first", tuple(points))  # the dataclass is frozen

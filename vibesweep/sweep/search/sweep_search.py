"""A sweep's searcher: the plain one, with whole settings, ids, and a sweep that is resumed."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import optuna
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState
from ray.tune.search import Searcher

from vibesweep.config import Sweep
from vibesweep.errors import SweepError
from vibesweep.quality.aim import Aim
from vibesweep.sweep.record.events import CloneAsked, TrialReported
from vibesweep.sweep.record.record import TrialRecord
from vibesweep.sweep.record.replay import Replay
from vibesweep.sweep.record.states import FINISHED, TrialState
from vibesweep.sweep.record.study import quiet_optuna
from vibesweep.sweep.search.searcher import RANKED, StepSearch
from vibesweep.sweep.search.space import points_of, suggest

CLONED_FROM = "cloned_from"
"""Optuna's user attribute of a clone: the number of the trial that it goes on from."""


class SweepSearch(StepSearch):
    """Searches a sweep's space for whole settings of a trial.

    Attributes:
        has_begun: tells of a trial's own id whether it has begun since the search was made.
    """

    def __init__(
        self,
        sweep: Sweep,
        storage: optuna.storages.BaseStorage | None = None,
        warm: Sequence[FrozenTrial] = (),
    ) -> None:
        """Search the sweep's space; the other arguments are those of :class:`StepSearch`."""
        self._sweep = sweep
        self._cut_short: deque[dict[str, Any]] = deque()
        self._unstarted: deque[optuna.Trial] = deque()
        self._suggested: dict[str, dict[str, Any]] = {}
        """Configs of trials that have not ended, by Tune's ids."""
        self._clones: deque[CloneAsked] = deque()
        self._own_left = sweep.trials
        """How many trials are still to be suggested for the first time, clones aside."""
        self._held = False
        self._over = False
        self._adding = threading.Lock()
        self.has_begun: Callable[[str], bool] = lambda own_id: True
        self._longer: set[str] = set()
        """Trials that the study has as complete, and that go on to a larger maximum."""
        super().__init__(
            sweep.space,
            max_steps=sweep.budget.last_step,
            trials=sweep.trials,
            seed=sweep.seed,
            try_first=points_of(sweep),
            storage=storage,
            aim=Aim.of(sweep),
            warm=warm,
            guesses=sweep.guesses,
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out of the Tuner that Ray Tune pickles.

        The study is durable, and a lock does not pickle.
        """
        return {}

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return a trial's id and number, what is swept, and its whole settings.

        ``reported_step`` is the step of its last report, where it was cut short.
        """
        swept, settings = suggest(self._sweep, trial)
        return {
            "id": _id_of(trial.number),
            "number": trial.number,
            "swept": swept,
            "settings": asdict(settings),
            "reported_step": None,
            "clone": {},
        }

    def hold(self) -> None:
        """Suggest no trial any more."""
        self._held = True

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return the next trial's config: first what was cut short, then clones, then new ones.

        While none is left, but trials run, Ray Tune waits: a clone may be asked for. Then the
        search is over.
        """
        if self._held:
            return None  # type: ignore[return-value] # has Ray Tune wait, here for the sweep's end
        with self._adding:
            if self._cut_short:
                config = self._go_on(trial_id)
            elif self._clones:
                config = self._begin_clone(trial_id)
            elif self._own_left > 0:
                config = super().suggest(trial_id)
                self._own_left -= 1
            elif self._suggested:
                return None  # type: ignore[return-value] # has Ray Tune wait
            else:
                self._over = True
                return Searcher.FINISHED  # type: ignore[return-value] # as Ray Tune has it
            self._suggested[trial_id] = config
            return config

    def add_clone(self, clone: CloneAsked, enter: Callable[[CloneAsked], None]) -> bool:
        """Suggest a clone next, from any thread, unless the search is over; return whether it will.

        Args:
            clone: the clone.
            enter: writes it down, before it can be suggested.
        """
        with self._adding:
            if self._over:
                return False
            enter(clone)
            self._clones.append(clone)
            return True

    def _begin_clone(self, trial_id: str) -> dict[str, Any]:
        """Return the config of the next clone.

        In the study it has no parameters: its loss says nothing about its settings alone, so the
        sampler is to leave it out.
        """
        clone = self._clones.popleft()
        attributes = {
            CLONED_FROM: clone.parent,
            "cloned_at_step": clone.step,
            "settings": clone.settings,
        }
        with quiet_optuna():
            running = create_trial(state=OptunaState.RUNNING, user_attrs=attributes)
            self.study.add_trial(running)
        number = len(self.study.get_trials(deepcopy=False)) - 1
        self._ot_trials[trial_id] = self._trial_of(number)
        parent = {
            "cloned_from": clone.parent,
            "cloned_at_step": clone.step,
            "origin": clone.origin,
        }
        return {
            "id": _id_of(number),
            "number": number,
            "swept": clone.swept,
            "settings": clone.settings,
            "reported_step": None,
            "clone": parent,
        }

    def _go_on(self, trial_id: str) -> dict[str, Any]:
        """Return the config of the next trial that was cut short."""
        config = self._cut_short.popleft()
        if config["id"] in self._ot_trials:
            self._ot_trials[trial_id] = self._ot_trials.pop(config["id"])
        else:
            self._longer.add(trial_id)
        return config

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Enter a report, of a trial that the study has not ended."""
        if trial_id not in self._longer:
            super().on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna how a trial ended, unless the study has ended it before.

        A trial whose actor was lost before the trial began is suggested again: Ray Tune starts a
        trial anew whose actor is lost, but not where that actor was another trial's before.
        """
        config = self._suggested.pop(trial_id, None)
        longer = trial_id in self._longer
        if error and config is not None and not self.has_begun(config["id"]):
            self._cut_short.append(config)
            if not longer:
                self._ot_trials[config["id"]] = self._ot_trials.pop(trial_id)
        elif not longer:
            super().on_trial_complete(trial_id, result, error)

    def resume(self, replay: Replay) -> None:
        """Go on where a sweep was interrupted, as its log of events has it.

        The study may lack what came last, or have what the log lacks. Trials that were cut short
        are suggested first, then clones, then those that were suggested and never started.
        """
        self._own_left -= len(replay.record.own_trials)
        for clone in replay.record.clones_to_come:
            self._clones.append(CloneAsked(**clone))
        reports = _by_trial(replay.reports)
        known = self.study.get_trials(deepcopy=False)
        studied = {trial.number: trial.state for trial in known}
        for trial in replay.record.trials:
            if trial.number not in studied:
                found = f"Optuna's study lacks trial {trial.number}"
                fix = "put back study.journal as it was, or start another sweep with --name"
                raise SweepError(found, where=replay.record.name, fix=fix)
            state = studied.pop(trial.number)
            if not state.is_finished():
                self._catch_up(trial, reports[trial.id])
            elif trial.state not in FINISHED:
                self._cut_short.append(_config_of(trial))
        for number, state in studied.items():
            if state != OptunaState.RUNNING:
                continue
            unstarted = self._trial_of(number)
            if CLONED_FROM in known[number].user_attrs:  # it is suggested under another number
                self.study.tell(unstarted, state=OptunaState.FAIL)
            else:
                self._unstarted.append(unstarted)

    def _ask(self) -> optuna.Trial:
        return self._unstarted.popleft() if self._unstarted else super()._ask()

    def _catch_up(self, record: TrialRecord, reports: list[TrialReported]) -> None:
        """Tell the study of a trial what it has not heard, and suggest it again if it goes on."""
        trial = self._trial_of(record.number)
        self._ot_trials[record.id] = trial
        known = self._reported(record.id)
        for report in reports:
            if report.heard:
                self._heard.add(record.id)
            if report.step not in known:
                self._report(record.id, report.loss_val, report.step, report.heard)
        if record.state in FINISHED:
            best = None
            if record.state in RANKED and record.best_loss_val is not None:
                best = self._aim.value(record.best_loss_val, record.best_heard)
            self._enter_heard(record.id, record.best_heard)
            self._enter_price(record.id, vars(record))
            price = self._aim.price(vars(record))
            diverged = record.state == TrialState.DIVERGED
            self._finish(record.id, record.state, record.reason, best, price, by_settings=diverged)
            return
        self._cut_short.append(_config_of(record))

    def _trial_of(self, number: int) -> optuna.Trial:
        """Return the study's trial of this number."""
        found = self.study.get_trials(deepcopy=False)[number]
        return optuna.Trial(self.study, found._trial_id)


def _config_of(record: TrialRecord) -> dict[str, Any]:
    """Return the config of a trial that goes on after its last report."""
    return {
        "id": record.id,
        "number": record.number,
        "swept": record.swept,
        "settings": record.settings,
        "reported_step": record.step,
        "clone": _clone_of(record),
    }


def _clone_of(record: TrialRecord) -> dict[str, Any]:
    """Return what a clone goes on from, as its config has it; nothing for another trial."""
    if record.cloned_from is None:
        return {}
    return {
        "cloned_from": record.cloned_from,
        "cloned_at_step": record.cloned_at_step,
        "origin": record.origin,
    }


def _id_of(number: int) -> str:
    return f"trial_{number:03d}"


def _by_trial(reports: Sequence[TrialReported]) -> defaultdict[str, list[TrialReported]]:
    """Sort the reports of a log by their trials."""
    found: defaultdict[str, list[TrialReported]] = defaultdict(list)
    for report in reports:
        found[report.trial].append(report)
    return found

"""A sweep's searcher: the plain one, with whole settings, ids, and a sweep that is resumed."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from vibesweep.config import Sweep
from vibesweep.errors import SweepError
from vibesweep.quality.aim import Aim
from vibesweep.sweep.record.events import TrialReported
from vibesweep.sweep.record.record import TrialRecord
from vibesweep.sweep.record.replay import Replay
from vibesweep.sweep.record.states import FINISHED, TrialState
from vibesweep.sweep.search.searcher import RANKED, StepSearch
from vibesweep.sweep.search.space import points_of, suggest


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
        self._held = False
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

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return a trial's id and number, what is swept, and its whole settings.

        ``reported_step`` is the step of its last report, where it was cut short.
        """
        swept, settings = suggest(self._sweep, trial)
        return {
            "id": f"trial_{trial.number:03d}",
            "number": trial.number,
            "swept": swept,
            "settings": asdict(settings),
            "reported_step": None,
        }

    def hold(self) -> None:
        """Suggest no trial any more."""
        self._held = True

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return the next trial's config; trials that were cut short come first."""
        if self._held:
            return None  # type: ignore[return-value] # has Ray Tune wait, here for the sweep's end
        config = self._go_on(trial_id) if self._cut_short else super().suggest(trial_id)
        self._suggested[trial_id] = config
        return config

    def _go_on(self, trial_id: str) -> dict[str, Any]:
        """Return the config of the next trial that was cut short."""
        config = self._cut_short.popleft()
        if config["id"] in self._ot_trials:
            self._ot_trials[trial_id] = self._ot_trials.pop(config["id"])
        else:
            self._longer.add(trial_id)
        return config

    @property
    def has_waiting(self) -> bool:
        """Whether trials that were cut short are still to be suggested."""
        return bool(self._cut_short) and not self._held

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
        are suggested first, then those that were suggested and never started.
        """
        reports = _by_trial(replay.reports)
        studied = {trial.number: trial.state for trial in self.study.get_trials(deepcopy=False)}
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
            if state == OptunaState.RUNNING:
                self._unstarted.append(self._trial_of(number))

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
    }


def _by_trial(reports: Sequence[TrialReported]) -> defaultdict[str, list[TrialReported]]:
    """Sort the reports of a log by their trials."""
    found: defaultdict[str, list[TrialReported]] = defaultdict(list)
    for report in reports:
        found[report.trial].append(report)
    return found

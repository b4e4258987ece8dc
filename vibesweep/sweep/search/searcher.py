"""Optuna behind Ray Tune, told of each trial what happened as it happened.

docs/design/search.md says where it differs from Ray's own searcher.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState
from ray.tune.search.optuna import OptunaSearch

from vibesweep.config import Guess
from vibesweep.errors import CombinationError, SpaceError
from vibesweep.quality.aim import Aim
from vibesweep.storage.json_text import parse_json
from vibesweep.sweep.record.states import TrialState, end_state
from vibesweep.sweep.record.study import STUDY_NAME, quiet_optuna
from vibesweep.sweep.search.enumeration import enumerate_suggestions
from vibesweep.sweep.search.sampler import NO_GUESSES, PRICE, WinShareSampler, seed_of
from vibesweep.sweep.search.scheduler import HEARD, METRIC, TIME
from vibesweep.sweep.search.space import ask_space

if TYPE_CHECKING:
    from vibesweep.config.sweep import Space

OPTUNA_STATES = {
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.DIVERGED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}
"""What Optuna is told. FAIL says nothing about the settings: samplers leave such a trial out."""
RANKED = (TrialState.COMPLETE, TrialState.PRUNED)
"""States in which a trial's best loss is its value in the study."""
DIVERGED, REASON = "diverged", "reason"
"""Optuna's user attributes that say why a trial ended."""
WARM = "warm"
"""Optuna's user attribute that counts the trials of earlier searches, which come first."""
MOST_DRAWS = 200
"""Draws of one trial until its settings go together: enough where one in fifty do."""


def _asked_of_nobody(trial: optuna.Trial) -> None:
    """Stand where Ray wants a space, which it would ask; :meth:`StepSearch.suggest` asks ours.

    Ray makes no study for a space that is an empty dict.
    """


class StepSearch(OptunaSearch):
    """Ray's OptunaSearch, with four differences.

    A trial that the scheduler stopped is PRUNED with its intermediate values (Ray: COMPLETE with
    its last value). One that its own settings ended, because it diverged, was refused by the model
    or ran out of memory, is PRUNED too and breaks a constraint, which puts it behind all others. A
    complete one has its best validation loss as its value, because the best checkpoint is what is
    kept. Values lie at optimizer steps, not at report numbers.

    A trainable reports ``loss_val`` and ``step``. It may say ``outcome``, how it ended by itself,
    with a ``reason``, ``by_settings`` and ``best_loss_val``; and ``heard`` and ``best_heard``, what
    was measured in its speech. Where a measure is the objective, Optuna is told the losses until a
    trial is heard, and then the measure alone. A limit is a constraint. With a second objective the
    study has two, and a trainable reports that too, by its name.

    Attributes:
        error: why the space could not suggest a trial, once that has happened.
    """

    def __init__(
        self,
        space: Space,
        *,
        max_steps: int,
        trials: int,
        seed: int = 0,
        try_first: Sequence[Mapping[str, Any]] = (),
        storage: optuna.storages.BaseStorage | None = None,
        aim: Aim | None = None,
        warm: Sequence[FrozenTrial] = (),
        guesses: Mapping[str, Guess] = NO_GUESSES,
    ) -> None:
        """Search a space.

        Args:
            space: as in :class:`vibesweep.Sweep`; any names may be suggested.
            max_steps: step at which a trial is complete.
            trials: how many settings are to be tried.
            seed: of the sampler.
            try_first: points to try before the sampler chooses any.
            storage: keeps the study; without it, it is in memory.
            aim: what trials are ranked by; the loss if left out.
            warm: finished trials of earlier searches, for a study that is new.
            guesses: what settings are probably best at, by name.
        """
        self._aim = aim or Aim()
        self._heard: set[str] = set()
        self._space_asked = space
        self._max_steps = max_steps
        self._trials = trials
        self._guesses = guesses
        self._first_seed = seed
        self.error: SpaceError | None = None
        self._suggestions = enumerate_suggestions(self.draw)
        with quiet_optuna():
            super().__init__(
                space=_asked_of_nobody,
                metric=[METRIC, self._aim.second] if self._aim.second else METRIC,
                mode=["min", "min"] if self._aim.second else "min",
                sampler=self._make_sampler(seed),
                study_name=STUDY_NAME,
                storage=storage,
            )
            # Tune refuses results without a searcher's metric. A trial that fails or is not heard
            # has no second objective; the study is told of it by this class
            self._metric = METRIC
            self._mode = "min"
            self._enter_known(warm, try_first)

    def _enter_known(
        self, warm: Sequence[FrozenTrial], try_first: Sequence[Mapping[str, Any]]
    ) -> None:
        """Enter earlier searches' trials in a new study, and the points that it has not tried."""
        known = len(self.study.get_trials(deepcopy=False))
        if warm and not known:
            self.study.add_trials(warm)
            self.study.set_user_attr(WARM, len(warm))
            known = len(warm)
        tried = known - self.study.user_attrs.get(WARM, 0)
        for point in try_first[tried:]:
            self.study.enqueue_trial(dict(point))

    def draw(self, trial: optuna.Trial) -> dict[str, Any]:
        """Ask the space; return a trial's config.

        Raises:
            CombinationError: what it suggests does not go together: another trial is drawn.
            SpaceError: another mistake in the space.
        """
        fixed = ask_space(self._space_asked, trial)
        return {**trial.params, **fixed}

    @property
    def study(self) -> optuna.Study:
        """The study as it stands."""
        return cast(optuna.Study, self._ot_study)

    def suggest(self, trial_id: str) -> dict[str, Any]:
        """Return the next trial's config.

        Settings that do not go together are FAIL in the study, and others are drawn.
        """
        with quiet_optuna():
            trial = self._ot_trials.get(trial_id) or self._ask()
            draws_left = MOST_DRAWS
            while True:
                self._ot_trials[trial_id] = trial
                try:
                    return self.draw(trial)
                except SpaceError as error:
                    draws_left -= 1
                    if draws_left and isinstance(error, CombinationError):
                        trial = self._another(trial, error)
                        continue
                    self.error = error
                    self._finish(trial_id, TrialState.FAILED, str(error))
                    raise

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Enter a report at its step. Ray Tune does not call this for a trial's last report."""
        loss = float(result[METRIC])
        step = int(result[TIME])
        heard = result.get(HEARD, {})
        with quiet_optuna():
            self._report(trial_id, loss, step, heard)
            self._enter_price(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna how a trial ended; ``result`` is its last report.

        A trial that was cut short still runs to Optuna: it goes on when the sweep is resumed.
        """
        last = result or {}
        if trial_id in self._completed_trials or last.get("outcome") == TrialState.STOPPED:
            return
        outcome = last.get("outcome")
        if outcome is None and last.get(TIME, 0) >= self._max_steps:
            outcome = TrialState.COMPLETE
        state = end_state(outcome, lost=error or not last)
        if last and state != TrialState.FAILED:
            # A function's last report comes twice: as it is made, and when the function returns
            if last[TIME] not in self._reported(trial_id):
                self.on_trial_result(trial_id, last)
        best = self._best_of(trial_id, last) if state in RANKED else None
        price = self._aim.price(last)
        by_settings = state == TrialState.DIVERGED or last.get("by_settings", False)
        self._enter_heard(trial_id, last.get("best_heard", {}))
        self._finish(trial_id, state, last.get("reason", ""), best, price, by_settings=by_settings)

    def save(self, checkpoint_path: str) -> None:
        """Save only which trial is which: the study itself is durable."""
        numbers = {tune_id: trial.number for tune_id, trial in self._ot_trials.items()}
        state = {"trials": numbers, "completed": sorted(self._completed_trials)}
        Path(checkpoint_path).write_text(json.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Find the trials again in the durable study."""
        state = parse_json(Path(checkpoint_path).read_text())
        known = self.study.get_trials(deepcopy=False)
        ids = {trial.number: trial._trial_id for trial in known}
        self._completed_trials = set(state["completed"])
        self._ot_trials = {}
        for tune_id, number in state["trials"].items():
            self._ot_trials[tune_id] = optuna.Trial(self.study, ids[number])

    def _best_of(self, trial_id: str, last: Mapping[str, Any]) -> float:
        """Return a trial's value: its smallest loss, or how it sounded best."""
        if "best_loss_val" in last:
            loss = float(last["best_loss_val"])
            return self._aim.value(loss, last.get("best_heard", {}))
        reported = self._reported(trial_id)
        return float(min(reported.values()))

    def _reported(self, trial_id: str) -> dict[int, float]:
        """Return what the study has of a trial's reports, by step."""
        number = self._ot_trials[trial_id].number
        known: FrozenTrial = self.study.get_trials(deepcopy=False)[number]
        return known.intermediate_values

    def _report(self, trial_id: str, loss: float, step: int, heard: Mapping[str, float]) -> None:
        """Enter a report, unless it is a loss among measures."""
        if heard:
            self._heard.add(trial_id)
        if self._aim.by_loss or heard or trial_id not in self._heard:
            value = self._aim.value(loss, heard)
            trial = self._ot_trials[trial_id]
            # Trial.report would refuse it where there are two objectives
            self.study._storage.set_trial_intermediate_value(trial._trial_id, step, value)

    def _enter_price(self, trial_id: str, figures: Mapping[str, Any]) -> None:
        """Enter what a trial has of the second objective, where there is one and it is known."""
        price = self._aim.price(figures)
        if self._aim.second and math.isfinite(price):
            self._ot_trials[trial_id].set_user_attr(PRICE, price)

    def _enter_heard(self, trial_id: str, heard: Mapping[str, float]) -> None:
        """Enter what was heard of a trial's best weights, and how far that is from its limits."""
        trial = self._ot_trials[trial_id]
        with quiet_optuna():
            for name, value in heard.items():
                trial.set_user_attr(name, value)
            for name, excess in self._aim.excesses(heard).items():
                trial.set_constraint(name, excess)

    def _ask(self) -> optuna.Trial:
        """Ask the study for a trial, drawn with the seed of its number."""
        number = len(self.study.get_trials(deepcopy=False))
        seed = seed_of(self._first_seed, number)
        self.study.sampler = self._make_sampler(seed)
        return self.study.ask()

    def _make_sampler(self, seed: int) -> WinShareSampler:
        by_loss = self._aim.by_loss
        return WinShareSampler(
            self._trials, seed, self._suggestions, of_one_kind=by_loss, guesses=self._guesses
        )

    def _another(self, refused: optuna.Trial, error: CombinationError) -> optuna.Trial:
        """Tell Optuna why a trial is refused, and ask for the next."""
        refused.set_user_attr("reason", str(error))
        self.study.tell(refused, state=OptunaState.FAIL)
        return self._ask()

    def _finish(
        self,
        trial_id: str,
        state: TrialState,
        reason: str = "",
        best: float | None = None,
        price: float = math.inf,
        *,
        by_settings: bool = False,
    ) -> None:
        """Tell Optuna of a trial's end.

        Args:
            trial_id: the trial's name in Ray Tune.
            state: how it ended.
            reason: why it diverged or failed.
            best: its value, if it is complete or pruned.
            price: what it has of the second objective, where there is one.
            by_settings: whether its own settings ended it, so that their like should be avoided.
        """
        trial = self._ot_trials[trial_id]
        told = OptunaState.PRUNED if by_settings else OPTUNA_STATES[state]
        self._completed_trials.add(trial_id)
        with quiet_optuna():
            trial.set_user_attr("outcome", state.value)
            if reason:
                trial.set_user_attr(DIVERGED if state == TrialState.DIVERGED else REASON, reason)
            if by_settings:
                trial.set_constraint(state.value, 1.0)
            values = None
            if best is not None:
                values = [best, price] if self._aim.second else [best]
            if told == OptunaState.PRUNED and values is not None:
                # tell would enter the last loss, and sweeps rank trials by their best
                self.study._storage.set_trial_state_values(trial._trial_id, told, values)
            else:
                self.study.tell(trial, values, state=told)

"""Which settings decide how good a trial is."""

from __future__ import annotations

import math
from collections.abc import Mapping

from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.ped_anova import shares_of_settings

LEAST_TRIALS = 10
"""With fewer, the best of them say nothing about where good trials lie."""
GOOD_SHARE = 0.25
"""The trials that count as good; Optuna's own tenth would be one or two of a dozen."""


def importances_of(facts: Facts) -> Mapping[str, float]:
    """Return the share that each setting has in whether a trial is among the good ones.

    All trials are compared at the first rung, to which all of them came. Settings that only some
    trials have are left out; so is everything where fewer than two are left, or too few trials.
    """
    losses = losses_at_first_report(facts)
    trials = [trial for trial in facts.record.trials if trial.number in losses]
    shared = set(facts.distributions).intersection(*(trial.swept for trial in trials))
    if len(trials) < LEAST_TRIALS or len(shared) < 2:
        return {}
    distributions = {
        name: distribution for name, distribution in facts.distributions.items() if name in shared
    }
    tried = [trial.swept for trial in trials]
    values = [losses[trial.number] for trial in trials]
    return shares_of_settings(distributions, tried, values, GOOD_SHARE)


def losses_at_first_report(facts: Facts) -> dict[int, float]:
    """Return each trial's validation loss at the first rung, where it is finite."""
    first = facts.budget.report_steps[0]
    reports = facts.reports
    if reports.empty:
        return {}
    at_first = reports[reports["step"] == first]
    pairs = zip(at_first["number"], at_first["loss_val"], strict=True)
    return {int(number): float(loss) for number, loss in pairs if math.isfinite(loss)}

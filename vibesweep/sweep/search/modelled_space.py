"""A space as a model of the losses sees it: trials as points.

Shapes: N trials, S settings, D columns of a point; a choice among several has a column for each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution, CategoricalDistribution

from vibesweep.sweep.search.axes import Axis

NOT_ASKED = -1.0
"""Stands where a trial has no place."""


class ModelledSpace:
    """All settings that a space may suggest, of all its branches.

    Attributes:
        axes: the settings, in the order of their names.
        tried: places [N, S] of the trials; NaN for settings that a trial does not have.
        setting_of_column: the setting [D] that each column of a point belongs to.
    """

    def __init__(
        self, distributions: Mapping[str, BaseDistribution], tried: Sequence[Mapping[str, Any]]
    ) -> None:
        """Lay the settings out.

        Args:
            distributions: of the settings, by name.
            tried: what was suggested to trials, which shows the branches of the space.
        """
        self.axes: dict[str, Axis] = {}
        self._choices: list[int] = []
        for number, name in enumerate(sorted(distributions)):
            distribution = distributions[name]
            self.axes[name] = Axis.of(distribution)
            if isinstance(distribution, CategoricalDistribution):
                self._choices.append(number)
        self.tried = self.places(tried)
        columns = []
        for number, axis in enumerate(self.axes.values()):
            columns += [number] * axis.columns
        self.setting_of_column = np.array(columns)

    def __len__(self) -> int:
        """Return how many settings there are."""
        return len(self.axes)

    def params(self, places: np.ndarray) -> dict[str, Any]:
        """Return the settings at places [S] between 0 and 1, in the order of their names."""
        found = {}
        for (name, axis), place in zip(self.axes.items(), places, strict=True):
            found[name] = axis.value(place)
        return found

    def places(self, tried: Sequence[Mapping[str, Any]]) -> np.ndarray:
        """Return where settings lie [N, S]; NaN for those that a trial does not have."""
        columns = []
        for name, axis in self.axes.items():
            rows = []
            values = []
            for row, params in enumerate(tried):
                if name in params:
                    value = params[name]
                    values.append(value)
                    rows.append(row)
            count = len(tried)
            column = np.full(count, np.nan)
            column[rows] = axis.places(values)
            columns.append(column)
        return np.column_stack(columns)

    def points(self, places: np.ndarray) -> np.ndarray:
        """Return places [N, S] as points [N, D], which lie as far apart as they are unlike.

        Two choices without an order are as unlike as two ends of a range. A setting that a trial
        does not have lies in the middle.
        """
        columns = []
        for number, axis in enumerate(self.axes.values()):
            own = places[:, number]
            columns.append(axis.spread(own))
        return np.concatenate(columns, axis=1)

    def suggested(self, drawn: np.ndarray) -> np.ndarray:
        """Return drawn places [N, S] without the settings that the space would not ask for.

        What it asks for after some choices is known of trials that had the same.
        """
        columns = []
        for number, axis in enumerate(self.axes.values()):
            own = drawn[:, number]
            columns.append(axis.snapped(own))
        places = np.column_stack(columns)
        asked = np.isfinite(self.tried)
        if asked.all():
            return places
        known = np.where(asked, self.tried, NOT_ASKED)
        choices = known[:, self._choices]
        branches = np.column_stack([choices, asked])
        for branch in np.unique(branches, axis=0):
            chosen, asked_there = np.split(branch, [len(self._choices)])
            drawn_choices = places[:, self._choices]
            same = np.isclose(drawn_choices, chosen)
            same |= chosen == NOT_ASKED
            rows = same.all(axis=1)
            left_out = asked_there == 0
            places[np.ix_(rows, left_out)] = np.nan
        return places

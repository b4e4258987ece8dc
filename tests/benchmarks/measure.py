"""How a benchmark says what it found: the machine, a table, then one JSON line a measure, the headline last."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Measure:
    """One figure and what it should reach.

    Attributes:
        name: what is measured, with its unit.
        value: the figure.
        goal: what it should reach, or ``None`` where it is only told.
        at_least: whether more is better.
    """

    name: str
    value: float
    goal: float | None = None
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the goal is met."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal


def tell(title: str, measures: Sequence[Measure]) -> None:
    """Print machine, table and JSON lines."""
    console = Console(width=120)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    console.print(
        f"{platform.machine()}, {os.cpu_count()} cores, {gpu}, Python {platform.python_version()}, torch {torch.__version__}"
    )
    table = Table("measure", "value", "goal", "met", title=title)
    for measure in measures:
        sign = (
            "" if measure.goal is None else f"{'>=' if measure.at_least else '<='} {measure.goal:g}"
        )
        met = "" if measure.met is None else "yes" if measure.met else "no"
        table.add_row(measure.name, f"{measure.value:.4g}", sign, met)
    console.print(table)
    for measure in measures:
        line = {
            "name": measure.name,
            "value": measure.value,
            "goal": measure.goal,
            "met": measure.met,
        }
        print(json.dumps(line))

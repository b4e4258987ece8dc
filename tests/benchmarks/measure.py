"""How a benchmark prints what it measured: the machine, a table, then one JSON line a measure.

The headline comes last.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

DATA = Path(__file__).parents[3] / "shared" / "data"
"""Recordings and tables beside the project, where they are there."""


@dataclass(frozen=True)
class Measure:
    """One figure and its goal.

    Attributes:
        name: what is measured, with its unit.
        value: the figure.
        goal: the value to reach, or ``None`` where there is no goal.
        at_least: whether more is better.
    """

    name: str
    value: float
    goal: float | None = None
    at_least: bool = True

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; ``None`` without a goal."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    def row(self) -> tuple[str, str, str, str]:
        """Return the measure's cells in the table."""
        if self.goal is None:
            return self.name, f"{self.value:.4g}", "", ""
        sign = ">=" if self.at_least else "<="
        return self.name, f"{self.value:.4g}", f"{sign} {self.goal:g}", "yes" if self.met else "no"

    def json_line(self) -> str:
        """Return the measure as one line of JSON."""
        return json.dumps(
            {"name": self.name, "value": self.value, "goal": self.goal, "met": self.met}
        )


def machine() -> str:
    """Return what the benchmark runs on."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{platform.machine()}, {os.cpu_count()} cores, {gpu}, {versions}"


def print_measures(title: str, measures: Sequence[Measure]) -> None:
    """Print the machine, the table and the JSON lines."""
    console = Console(width=120)
    console.print(machine())
    table = Table("measure", "value", "goal", "met", title=title)
    for measure in measures:
        table.add_row(*measure.row())
    console.print(table)
    for measure in measures:
        print(measure.json_line())

"""The figures as a table for a terminal of 80 columns."""

from __future__ import annotations

from rich import box
from rich.table import Table
from rich.text import Text

from vibesweep.quality.quality_file import Quality


def quality_table(quality: Quality) -> Table:
    """Show a line for each measure and a column for each voice."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("measure", no_wrap=True)
    table.add_column("ideal", justify="right")
    for row in quality.rows:
        head = Text(row.name)
        table.add_column(head, justify="right", overflow="fold")
    for measure in quality.measures:
        cells = [measure.title, f"{measure.ideal:g}"]
        for row in quality.rows:
            mean = row.mean(measure.name)
            cell = "-" if mean is None else f"{mean:.2f}"
            cells.append(cell)
        table.add_row(*cells)
    return table

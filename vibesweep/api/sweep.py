"""A sweep that a program runs, or reads when it has run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vibesweep.api.results import Results
from vibesweep.config import Sweep as PlannedSweep

if TYPE_CHECKING:
    from rich.console import Console

    from vibesweep.sweep.allowance import Allowance


class Sweep(PlannedSweep):
    """A search over fine-tunings of one base on one corpus, and how to run it.

    It is made as :class:`vibesweep.config.Sweep` is, whose attributes it has.
    """

    def run(
        self,
        name: str,
        *,
        work: str | Path = ".",
        resume: bool = False,
        track: Sequence[str] = (),
        allowance: Allowance | None = None,
        warm_start: Sequence[str] = (),
        console: Console | None = None,
    ) -> Results:
        """Search to the end, or until Ctrl-C, which keeps what was found.

        ``vibesweep run`` does this, then exports the best trial, has it speak, and writes a report;
        the results have methods for these.

        Args:
            name: of the sweep, and of its folder ``work/sweeps/name``.
            work: the folder for sweeps and shards: a path that all hosts see, or a URI.
            resume: whether to go on with the sweep of that name, which was interrupted or stopped.
            track: trackers that are told of the trials, ``mlflow`` or ``wandb``.
            allowance: what this run may take; it is stopped there and can be resumed.
            warm_start: names or folders of earlier sweeps, whose trials inform the search.
            console: shows how it goes, on a terminal and in a notebook; ``Console(quiet=True)``
                shows nothing.

        Returns:
            What was found.

        Raises:
            SweepError: the name is taken or cannot be a folder's, or no trial could be trained.
            VibesweepError: corpus, base, space or resources are not what the sweep needs.
        """
        from vibesweep.sweep.run import run_sweep

        folder = run_sweep(
            self,
            name,
            work=str(work),
            console=console,
            resume=resume,
            track=track,
            allowance=allowance,
            warm_start=warm_start,
        )
        return Results(folder)

    @staticmethod
    def load(name: str | Path, *, work: str | Path = ".") -> Results:
        """Read a sweep that runs or has run.

        Args:
            name: its folder's path or URI, or its name.
            work: the folder that it worked in, where only its name is given.

        Raises:
            SweepError: there is no sweep, or its record cannot be read.
        """
        from vibesweep.sweep.record import find_sweep

        results = Results(find_sweep(str(name), str(work)))
        _ = results.record  # the error of a sweep that is not there
        return results

"""What a sweep has found: tables for pandas, and trials that can be exported."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vibesweep.api.voice import Voice

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from vibesweep.config import TrialSettings
    from vibesweep.sweep.record import SweepFolder, SweepRecord


@dataclass(frozen=True)
class Trial:
    """One trial of a sweep that has a checkpoint.

    Attributes:
        results: of its sweep.
        number: the trial's number, from 0.
        loss: validation loss of the weights that its checkpoint holds: its smallest, unless the
            sweep ranks trials by what is heard.
        swept: what the space suggested, by name.
        settings: all settings.
    """

    results: Results
    number: int
    loss: float
    swept: dict[str, Any]
    settings: TrialSettings

    def export(self, out: str | Path, layout: str | None = None) -> Voice:
        """Write the trial's model as a folder that stands alone.

        Args:
            out: the folder; an earlier export there is replaced, any other is refused.
            layout: for VibeVoice ``merged``, ``peft``, ``lora``, ``comfyui`` or ``original``; the
                family's first one unless given.

        Returns:
            What speaks with it.

        Raises:
            ModelError: the base or the checkpoint cannot be read, the layout does not fit, or the
                folder holds something else.
            ShardsError: the shards are gone, or others than the sweep's.
            StorageError: the folder cannot be written to.
        """
        from vibesweep.delivery.export import export

        folder = export(self.results.folder, Path(out), layout, self.number)
        return Voice(str(folder))


@dataclass(frozen=True)
class Results:
    """What a sweep has found so far. Each look reads its folder anew: the sweep may still run.

    Attributes:
        folder: the sweep's files.
    """

    folder: SweepFolder

    @property
    def record(self) -> SweepRecord:
        """The whole record: state, settings, versions, and every trial as it stands.

        Raises:
            SweepError: it cannot be read.
        """
        return self.folder.read()

    @property
    def trials(self) -> pd.DataFrame:
        """A row for each trial, the best first: how it stands, and what was suggested for it.

        The columns are those of ``vibesweep show --csv``.
        """
        import pandas as pd

        from vibesweep.sweep.record.show import trial_columns, trial_rows

        record = self.record
        return pd.DataFrame(trial_rows(record), columns=trial_columns(record))

    @property
    def reports(self) -> pd.DataFrame:
        """A row for each report of each trial, for learning curves."""
        _, reports = self.folder.read_with_reports()
        return reports

    @property
    def best(self) -> Trial:
        """The trial that ranks first by the sweep's objective, or the one that was chosen by ear.

        Raises:
            SweepError: no trial has a checkpoint.
        """
        return self._trial(None)

    def trial(self, number: int) -> Trial:
        """Return another trial that has a checkpoint.

        Raises:
            SweepError: the trial of this number has none.
        """
        return self._trial(number)

    def clone(
        self,
        number: int,
        changes: Mapping[str, Any],
        *,
        name: str | None = None,
        max_steps: int | None = None,
        console: Console | None = None,
    ) -> Results:
        """Train a trial on from where it is, with other settings; its steps count on.

        It joins its sweep, where that runs: this returns as soon as the sweep owes it. With a name
        or a number of steps, or where its sweep has ended, it is a sweep of its own beside that
        one, which begins with the trial's best weights: this returns when it is trained.

        Args:
            number: the trial's.
            changes: settings that are to be others, by name; what is trained stays as it is.
            name: of the clone's sweep; the sweep's with the trial's number unless given.
            max_steps: of the whole trial; those of its sweep unless given.
            console: shows how its sweep goes, as in :meth:`Sweep.run`.

        Returns:
            Where the clone is: these results, or those of its own sweep.

        Raises:
            SweepError: there is no such trial, nothing is saved of it, nothing is left to train, or
                the name is taken.
            SpaceError: the settings are none.
            ModelError: what is saved does not fit the settings.
        """
        from vibesweep.sweep.asking import is_running
        from vibesweep.sweep.clone_inside import clone_inside

        apart = name is not None or max_steps is not None
        if apart or not is_running(self.folder):
            return self._clone_apart(number, changes, name, max_steps, console)
        clone_inside(self.folder, str(number), changes)
        return self

    def report(self) -> str:
        """Write the report, one HTML file that opens offline, and return where it is.

        Raises:
            StorageError: the sweep's folder cannot be written to.
        """
        from vibesweep.delivery.report.write import write_report

        return str(write_report(self.folder))

    def __str__(self) -> str:
        """Say in a line how the sweep stands."""
        from vibesweep.sweep.record.table import summary_of

        record = self.record
        return f"{record.name}: {record.state}, {summary_of(record, time.time())}"

    def _clone_apart(
        self,
        number: int,
        changes: Mapping[str, Any],
        name: str | None,
        max_steps: int | None,
        console: Console | None,
    ) -> Results:
        """Train a trial's clone as a sweep of its own."""
        from vibesweep.sweep.clone import clone_of
        from vibesweep.sweep.run import run_sweep
        from vibesweep.sweep.search.space_file import load_space

        made = clone_of(self.folder, str(number), changes, max_steps)
        work = self.folder.place.parent.parent
        with made.as_file() as space:
            sweep = load_space(space)
            new_name = name or made.name
            folder = run_sweep(sweep, new_name, work=work, space_file=space, console=console)
        return Results(folder)

    def _trial(self, number: int | None) -> Trial:
        from vibesweep.config import TrialSettings

        _, trial, _ = self.folder.best_checkpoint(number)
        assert trial.best_loss_val is not None
        settings = TrialSettings(**trial.settings)
        return Trial(self, trial.number, trial.best_loss_val, trial.swept, settings)

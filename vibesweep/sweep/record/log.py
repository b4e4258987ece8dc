"""Writes down all that happens in a sweep as it happens: the record, every report, TensorBoard's events."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from ray import tune
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from vibesweep.sweep.record.record import SweepRecord, TrialRecord
from vibesweep.sweep.record.staged_folder import StagedFolder
from vibesweep.sweep.record.states import FAILED, PRUNED, RUNNING, STOPPED


class SweepLog(tune.Callback):
    """Tune tells it of each report; it keeps the record true and shows it to all who ``watch``."""

    def __init__(
        self,
        staged: StagedFolder,
        record: SweepRecord,
        watch: Iterable[Callable[[SweepRecord], None]],
        leave: Callable[[str], None],
    ) -> None:
        """Write at the ``staged``; ``leave`` frees a trial's lane when Tune is done with the trial."""
        self._staged, self._folder, self.sweep = staged, staged.folder, record
        self._watch, self._leave = tuple(watch), leave
        self._trials: dict[str, TrialRecord] = {}
        self._rows: list[dict[str, Any]] = []
        self._writers: dict[str, SummaryWriter] = {}
        self._save()

    def __getstate__(self) -> dict[str, Any]:
        """Leave everything out of the Tuner that Tune pickles: open files and a terminal do not pickle, and the record is on disk."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Open the trial's record."""
        config = trial.config
        record = TrialRecord(
            trial.trial_id,
            config["number"],
            config["swept"],
            config["settings"],
            started_unix_s=time.time(),
        )
        self._trials[trial.trial_id] = record
        self.sweep.trials.append(record)
        self._writers[trial.trial_id] = SummaryWriter(
            str(self._folder.tensorboard / f"trial_{record.number:03d}")
        )
        self._save()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        """Enter a report."""
        record = self._trials[trial.trial_id]
        if result["report"] is not None:
            self._enter(record, result)
        if result["outcome"] is not None:
            record.state, record.reason = result["outcome"], result["reason"]
        if result["outcome"] == FAILED:
            self._note_error(record, result.get("traceback", ""))
        self._save()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close the trial: one that did not say how it ended was stopped by ASHA."""
        self._leave(trial.trial_id)
        self._end(self._trials[trial.trial_id], PRUNED)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Close a trial whose actor was lost."""
        record = self._trials[trial.trial_id]
        self._leave(trial.trial_id)
        record.reason = record.reason or "the trial's actor was lost; see Ray's logs"
        self._end(record, FAILED)

    def close(self, state: str) -> None:
        """Close the sweep: what still runs was stopped."""
        for record in self._trials.values():
            if record.ended_unix_s is None:
                self._end(record, STOPPED)
        self.sweep.state, self.sweep.ended_unix_s = state, time.time()
        self._save()

    def _end(self, record: TrialRecord, otherwise: str) -> None:
        record.state = otherwise if record.state == RUNNING else record.state
        record.ended_unix_s = time.time()
        self._mark_best_in_tensorboard(record)
        self._save()

    def _enter(self, record: TrialRecord, result: dict[str, Any]) -> None:
        report, loss = result["report"], float(result["loss_val"])
        record.step, record.rung, record.steps_per_s = (
            report["step"],
            result["rung"],
            report["steps_per_s"],
        )
        record.trained_parameters = report["trained_parameters"]
        record.loss_val = loss if math.isfinite(loss) else None
        record.loss_train = report["loss_train"] if math.isfinite(report["loss_train"]) else None
        if math.isfinite(loss) and loss < (
            record.best_loss_val if record.best_loss_val is not None else math.inf
        ):
            record.best_loss_val, record.best_step = loss, record.step
        last = report["curve"][-1] if report["curve"] else {}
        self._rows.append(
            {
                "trial": record.id,
                "number": record.number,
                "step": record.step,
                "rung": record.rung,
                "loss_val": loss,
                "loss_train": report["loss_train"],
                "learning_rate_now": last.get("learning_rate"),
                "grad_norm": last.get("grad_norm"),
                "steps_per_s": record.steps_per_s,
                "reported_unix_s": time.time(),
                **record.settings,
            }
        )
        self._draw(record, report, loss)

    def _draw(self, record: TrialRecord, report: dict[str, Any], loss: float) -> None:
        writer = self._writers[record.id]
        for point in report["curve"]:
            writer.add_scalar("loss/train", point["loss"], point["step"])
            writer.add_scalar("lr", point["learning_rate"], point["step"])
            writer.add_scalar("grad_norm", point["grad_norm"], point["step"])
        writer.add_scalar("loss/val", loss, record.step)
        writer.flush()

    def _mark_best_in_tensorboard(self, record: TrialRecord) -> None:
        """Enter the swept values for TensorBoard's HParams page, then close the trial's events."""
        writer = self._writers.pop(record.id)
        if record.best_loss_val is not None:
            # writer.add_hparams would open a second file, named by the second: a trial shorter than that would lose its first
            for part in hparams(record.swept, {"loss/val_best": record.best_loss_val}):
                writer.file_writer.add_summary(part)
            writer.add_scalar("loss/val_best", record.best_loss_val, record.best_step)
        writer.close()

    def _note_error(self, record: TrialRecord, traceback: str) -> None:
        with Path(str(self._folder.errors)).open("a", encoding="utf-8") as file:
            file.write(f"trial {record.number} ({record.id}): {record.reason}\n{traceback}\n")

    def _save(self) -> None:
        if self._rows:
            states = {record.id: record.state for record in self.sweep.trials}
            with self._folder.reports.drafted() as draft:
                pd.DataFrame(
                    [{**row, "state": states[row["trial"]]} for row in self._rows]
                ).to_parquet(draft)
        self._folder.write(self.sweep)
        self._staged.push()
        for show in self._watch:
            show(self.sweep)

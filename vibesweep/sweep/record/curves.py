"""The curves of a sweep's trials for TensorBoard: one folder of events for each trial."""

from __future__ import annotations

from collections.abc import Sequence

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from vibesweep.config import StepRecord
from vibesweep.storage import StoragePath
from vibesweep.sweep.record.record import TrialRecord


class Curves:
    """Writes the curves of the trials that run; a trial's file is open until it ends."""

    def __init__(self, folder: StoragePath) -> None:
        """Write into this folder of this machine."""
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}

    def start(self, trial: TrialRecord) -> None:
        """Open a trial's file."""
        folder = self._folder / f"trial_{trial.number:03d}"
        self._writers[trial.id] = SummaryWriter(str(folder))

    def add_report(self, trial: TrialRecord, curve: Sequence[StepRecord], loss_val: float) -> None:
        """Write the steps of a report and its validation loss."""
        writer = self._writers[trial.id]
        for record in curve:
            writer.add_scalar("loss/train", record.loss, record.step)
            writer.add_scalar("lr", record.learning_rate, record.step)
            writer.add_scalar("grad_norm", record.grad_norm, record.step)
        writer.add_scalar("loss/val", loss_val, trial.step)
        writer.flush()

    def end(self, trial: TrialRecord) -> None:
        """Write what TensorBoard's HParams page shows of the trial, and close its file."""
        writer = self._writers.pop(trial.id)
        if trial.best_loss_val is not None:
            # writer.add_hparams would open a second file, named by the second: a trial that is
            # shorter than that would lose its first one
            summaries = hparams(trial.swept, {"loss/val_best": trial.best_loss_val})
            for summary in summaries:
                writer.file_writer.add_summary(summary)
            writer.add_scalar("loss/val_best", trial.best_loss_val, trial.best_step)
        writer.close()

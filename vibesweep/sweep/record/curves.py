"""What TensorBoard shows of a sweep: a folder of events for each trial, and one for the best.

Shapes: ``S`` samples.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy.typing as npt
from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from vibesweep.config import Report
from vibesweep.storage import StoragePath
from vibesweep.sweep.record.record import TrialRecord

BEST = "best"
"""The folder with the best trial's speech, which TensorBoard lists as a run beside the trials."""
FLUSH_S = 5
"""How late TensorBoard sees a report: a thread has the disk confirm what was written, which takes
milliseconds, and no result waits for it. What counts stands in the log of events."""
SPEECH, SPEECH_MEL = "speech", "speech/mel"


class Curves:
    """Writes the curves of the trials that run; a trial's file is open until it ends."""

    def __init__(self, folder: StoragePath) -> None:
        """Write into this folder of this machine."""
        self._folder = folder
        self._writers: dict[str, SummaryWriter] = {}
        self._closing = ThreadPoolExecutor(1, "curves")

    def start(self, trial: TrialRecord) -> None:
        """Open a trial's file."""
        folder = self._folder / f"trial_{trial.number:03d}"
        path = str(folder)
        self._writers[trial.id] = SummaryWriter(path, flush_secs=FLUSH_S)

    def add_report(self, trial: TrialRecord, report: Report) -> None:
        """Write the steps of a report, its validation loss and its speed."""
        writer = self._writers[trial.id]
        for record in report.curve:
            at = record.step
            writer.add_scalar("loss/train", record.loss, at)
            writer.add_scalar("lr", record.learning_rate, at)
            writer.add_scalar("grad_norm", record.grad_norm, at)
        step = report.step
        writer.add_scalar("loss/val", report.loss_val, step)
        writer.add_scalar("steps/s", report.steps_per_s, step)
        for name, value in report.heard.items():
            writer.add_scalar(f"heard/{name}", value, report.step)

    def end(self, trial: TrialRecord) -> None:
        """Write what TensorBoard's HParams page shows of the trial, and close its file."""
        if trial.id not in self._writers:  # the sweep was resumed, and the trial not yet
            self.start(trial)
        writer = self._writers.pop(trial.id)
        if trial.best_loss_val is not None:
            # writer.add_hparams would open a second file, named by the second: a trial that is
            # shorter than that would lose its first one
            _columns, *start_and_end = hparams(trial.swept, {})
            # TensorBoard would take the columns of one trial for all; without any it looks at each
            for summary in start_and_end:
                writer.file_writer.add_summary(summary)
            writer.add_scalar("loss/val_best", trial.best_loss_val, trial.best_step)
        self._closing.submit(writer.close)

    def close(self) -> None:
        """Wait until the disk has the curves of all trials that have ended."""
        self._closing.shutdown()


def add_speech(
    folder: Path, waveform: npt.NDArray[Any], rate_hz: int, picture: npt.NDArray[Any], step: int
) -> None:
    """Write what the best trial says.

    Args:
        folder: the run's folder, on this machine.
        waveform: the speech [S], of values from -1 to 1.
        rate_hz: its sample rate.
        picture: its mel as a picture in grey, uint8; the first row is at the top.
        step: the step of the trial's checkpoint.
    """
    with SummaryWriter(str(folder)) as writer:
        writer.add_audio(SPEECH, waveform[:, None], step, sample_rate=rate_hz)
        writer.add_image(SPEECH_MEL, picture, step, dataformats="HW")

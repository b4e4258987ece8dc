"""The best trial's speech where trials are looked at: in TensorBoard and in optuna-dashboard.

Shapes: ``S`` samples, ``T`` frames, ``M`` mel bins.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vibesweep.config import MelSettings
from vibesweep.corpus.sound.mel import log_mel
from vibesweep.storage import StoragePath
from vibesweep.storage.folders import appended_folder
from vibesweep.sweep.record.curves import BEST, add_speech
from vibesweep.sweep.record.folder import SweepFolder
from vibesweep.sweep.record.study import STUDY_NAME, quiet_optuna, study_storage

PIXELS = 3
"""Width and height of a mel's value in its picture."""


def show_sample(sweep: SweepFolder, sample: Path) -> None:
    """Add the best trial's speech to TensorBoard's files and, as an artifact, to Optuna's study.

    Args:
        sweep: a sweep that has ended.
        sample: the speech, as a sound file of this machine.

    Raises:
        StorageError: the store did not take it.
    """
    import soundfile

    _, best, _ = sweep.best_checkpoint()
    settings = MelSettings()
    waveform, rate_hz = soundfile.read(sample, dtype="float32")
    assert rate_hz == settings.sample_rate_hz
    picture = _picture(log_mel(waveform, settings))
    with appended_folder(sweep.tensorboard / BEST) as run:
        add_speech(run, waveform, rate_hz, picture, best.best_step)
    with _journal(sweep.journal) as journal, appended_folder(sweep.artifacts) as artifacts:
        _attach(journal, best.number, artifacts, sample)


def _attach(journal: Path, number: int, artifacts: Path, sample: Path) -> None:
    """Copy the speech of a trial into the folder of artifacts and enter it in the study.

    It is the study's: a trial that has ended takes no more.
    """
    import optuna

    storage = study_storage(journal)
    with quiet_optuna(), tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
        # The dashboard shows the file's name beside it
        named = Path(scratch) / f"best_trial_{number:03d}{sample.suffix}"
        shutil.copyfile(sample, named)
        optuna.artifacts.upload_artifact(
            artifact_store=optuna.artifacts.FileSystemArtifactStore(artifacts),
            file_path=str(named),
            study_or_trial=optuna.load_study(study_name=STUDY_NAME, storage=storage),
            storage=storage,
        )


@contextmanager
def _journal(journal: StoragePath) -> Iterator[Path]:
    """Give the study's file to append to; that of a store is copied here and back."""
    if journal.local is not None:
        yield journal.local
        return
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
        copy = Path(scratch) / journal.name
        journal.download(copy)
        yield copy
        journal.upload(copy)


def _picture(mel: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Draw a log-mel [T, M] in grey: time to the right, high sounds at the top, loud is bright."""
    quietest, loudest = mel.min(), mel.max()
    shares = (mel - quietest) / max(loudest - quietest, 1e-6)
    rows = np.flipud(shares.T) * 255
    grey: npt.NDArray[np.uint8] = rows.astype(np.uint8)
    return grey.repeat(PIXELS, axis=0).repeat(PIXELS, axis=1)

"""What a sweep ends with: its best trial in the sweep's own folder, and a first thing to hear."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

from vibesweep.delivery.dashboards import show_sample
from vibesweep.delivery.export import PROVENANCE, export
from vibesweep.delivery.sample import speak_sample
from vibesweep.errors import VibesweepError
from vibesweep.storage import StoragePath
from vibesweep.storage.folders import upload_folder
from vibesweep.storage.os_errors import storage_error
from vibesweep.sweep.record.folder import BASE_SAMPLE, SAMPLE, SAMPLE_TEXT, SweepFolder
from vibesweep.sweep.record.record import TrialRecord


def deliver_best(sweep: SweepFolder) -> tuple[StoragePath, StoragePath | VibesweepError]:
    """Export the best trial of a sweep into its folder and speak a sample with it.

    Returns:
        Where the model lies; and where the sample lies, or why it could not be spoken: the model
        is none the worse for it.

    Raises:
        VibesweepError: as :func:`vibesweep.delivery.export.export`.
        StorageError: the store did not take it.
    """
    if sweep.best.local is not None:
        model = export(sweep, sweep.best.local)
        return sweep.best, _sample(sweep, model)
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
        model = export(sweep, Path(scratch) / sweep.best.name)
        # Before anything is spoken: the model must not be lost
        upload_folder(model, sweep.best, PROVENANCE)
        sample = _sample(sweep, model)
        if isinstance(sample, StoragePath):
            for name in (SAMPLE, SAMPLE_TEXT, BASE_SAMPLE):
                (sweep.best / name).upload(model / name)
    return sweep.best, sample


def hand_over(
    sweep: SweepFolder, trial: TrialRecord
) -> tuple[StoragePath, StoragePath | VibesweepError]:
    """Make a trial the sweep's best, because it sounds better than those of smaller losses.

    Returns:
        As :func:`deliver_best`, which has delivered another trial before.

    Raises:
        VibesweepError: as :func:`deliver_best`.
    """
    record = sweep.read()
    chosen = dataclasses.replace(record, chosen=trial.number)
    sweep.write(chosen)
    return deliver_best(sweep)


def _sample(sweep: SweepFolder, model: Path) -> StoragePath | VibesweepError:
    try:
        sample = speak_sample(sweep, model)
        show_sample(sweep, sample)
    except VibesweepError as error:
        return error
    except OSError as error:
        told = storage_error(error)
        if told is None:
            raise
        return told
    return sweep.best / sample.name

"""What a sweep ends with: its best trial as a bundle in the sweep's own folder, and a first thing to hear."""

from __future__ import annotations

import tempfile
from pathlib import Path

from vibesweep.delivery.export import export
from vibesweep.delivery.sample import SAMPLE, speak_sample
from vibesweep.errors import VibesweepError
from vibesweep.models.bundle import CONFIG
from vibesweep.storage import StoragePath
from vibesweep.storage.folders import upload_folder
from vibesweep.sweep.record.record import SweepFolder


def deliver_best(sweep: SweepFolder) -> tuple[StoragePath, StoragePath | VibesweepError]:
    """Export the best trial of a sweep into its folder and speak a sample with it.

    Returns:
        Where the bundle lies; and where the sample, or why it could not be spoken: the bundle is none the worse for it.

    Raises:
        VibesweepError: as :func:`vibesweep.delivery.export.export`.
        StorageError: the store did not take it.
    """
    if sweep.best.local is not None:
        return sweep.best, _sample(sweep, export(sweep, sweep.best.local))
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
        bundle = export(sweep, Path(scratch) / sweep.best.name)
        upload_folder(
            bundle, sweep.best, CONFIG
        )  # before anything is spoken: the model is what must not be lost
        sample = _sample(sweep, bundle)
        if isinstance(sample, StoragePath):
            sample.upload(bundle / SAMPLE)
    return sweep.best, sample


def _sample(sweep: SweepFolder, bundle: Path) -> StoragePath | VibesweepError:
    try:
        return sweep.best / speak_sample(sweep, bundle).name
    except VibesweepError as error:
        return error

"""What a sweep ends with: its best trial as a bundle in the sweep's own folder, and a first thing to hear."""

from __future__ import annotations

import tempfile
from pathlib import Path

from vibesweep.delivery.export import export
from vibesweep.delivery.sample import speak_sample
from vibesweep.folders import upload_folder
from vibesweep.models.bundle import CONFIG
from vibesweep.storage import Place
from vibesweep.sweep.record import SweepFolder


def deliver_best(sweep: SweepFolder) -> tuple[Place, Place]:
    """Export the best trial of a sweep into its folder and speak a sample with it.

    Returns:
        Where the bundle and the sample lie.

    Raises:
        VibesweepError: as :func:`vibesweep.delivery.export.export`, or there is nothing to say.
        StorageError: the store did not take it.
    """
    if sweep.best.local is not None:
        sample = speak_sample(sweep, export(sweep, sweep.best.local))
    else:
        with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
            sample = speak_sample(sweep, export(sweep, Path(scratch) / sweep.best.name))
            upload_folder(sample.parent, sweep.best, CONFIG)
    return sweep.best, sweep.best / sample.name

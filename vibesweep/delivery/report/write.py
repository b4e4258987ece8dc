"""Writes a sweep's report into the sweep's folder."""

from __future__ import annotations

from vibesweep.delivery.report.facts import read_facts
from vibesweep.delivery.report.page import page_of
from vibesweep.storage import StoragePath
from vibesweep.sweep.record import SweepFolder


def write_report(folder: SweepFolder) -> StoragePath:
    """Write ``report.html`` of a sweep that runs or has ended; return where it is.

    Raises:
        SweepError: there is no such sweep, or its record cannot be read.
        StorageError: the folder cannot be written to.
    """
    page = page_of(read_facts(folder))
    folder.report.write_bytes(page.encode())
    return folder.report

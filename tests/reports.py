"""Reads the table of a sweep's reports, of one that runs or has ended."""

from __future__ import annotations

import pandas as pd

from vibesweep.sweep.record import SweepFolder


def read_reports(folder: SweepFolder) -> pd.DataFrame:
    """Read a row for each report: from the log where there is one, else from the table."""
    if not folder.record.is_file():
        return pd.DataFrame(folder.replay().rows())
    if not folder.reports.is_file():  # it has ended without a report
        return pd.DataFrame()
    with folder.reports.fetched() as path:
        return pd.read_parquet(path)

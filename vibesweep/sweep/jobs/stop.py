"""Ends a sweep that a job server runs, as Ctrl-C ends one that runs here."""

from __future__ import annotations

import time

from vibesweep.progress import Say
from vibesweep.sweep.jobs.server import find_job, job_client, say_how_it_ended

POLL_S = 0.5


def stop(server: str, name: str, say: Say) -> None:
    """Have a sweep end as on Ctrl-C, and wait until it has.

    Raises:
        ClusterError: there is no such sweep, or it failed.
    """
    with job_client(server) as client:
        job = find_job(client.list_jobs(), name)
        submission = str(job.submission_id)
        if not job.status.is_terminal():
            client.stop_job(submission)
            say(f"{name} is told to stop; it ends after the steps in hand and keeps everything")
        while not job.status.is_terminal():
            time.sleep(POLL_S)
            job = client.get_job_info(submission)
        say_how_it_ended(job, say)

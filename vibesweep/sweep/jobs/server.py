"""Talks to Ray's job server: a client of it, the job of a sweep, and how a job has ended.

Which sweep a job runs, and where its folder is, is written in the job's metadata.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager

import requests
from aiohttp import ClientError
from ray.exceptions import AuthenticationError, RayError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from vibesweep.errors import TOKEN_FIX, ClusterError
from vibesweep.progress import Say

SWEEP = "sweep"
FOLDER = "folder"
"""Keys of a job's metadata."""
CHATTY_LOGGERS = ("ray.dashboard.modules.job.sdk", "ray.dashboard.modules.dashboard_sdk")
MESSAGE_LENGTH = 500


@contextmanager
def job_client(server: str) -> Iterator[JobSubmissionClient]:
    """Yield a client of the job server.

    Raises:
        ClusterError: the server refuses something, or cannot be reached.
    """
    for name in CHATTY_LOGGERS:
        logging.getLogger(name).setLevel(logging.WARNING)
    try:
        yield _connect(server)
    except AuthenticationError as error:
        found = "it asks for the cluster's token"
        raise ClusterError(found, where=server, fix=TOKEN_FIX) from error
    except BrokenPipeError:  # a ConnectionError too, but of whoever read the output, as in `| head`
        raise
    except (
        ConnectionError,
        RuntimeError,
        RayError,
        ClientError,
        requests.RequestException,
    ) as error:
        found = " ".join(str(error).split())
        fix = "see that the address is its dashboard's and the cluster is up"
        raise ClusterError(found[:MESSAGE_LENGTH], where=server, fix=fix) from error


def find_job(jobs: list[JobDetails], sweep: str) -> JobDetails:
    """Return the latest job that runs or ran a sweep of this name.

    Raises:
        ClusterError: there is none.
    """
    found = [job for job in jobs if job_fact(job, SWEEP) == sweep]
    if not found:
        names = {job_fact(job, SWEEP) for job in jobs} - {""}
        known = ", ".join(sorted(names)) or "none"
        message = f"no job runs or ran a sweep named {sweep}"
        raise ClusterError(message, fix=f"sweeps there: {known}")
    return max(found, key=lambda job: job.start_time or 0)


def job_folder(server: str, sweep: str) -> str:
    """Return the folder of the sweep of this name that a job runs.

    Raises:
        ClusterError: there is no such sweep.
    """
    with job_client(server) as client:
        return job_fact(find_job(client.list_jobs(), sweep), FOLDER)


def job_fact(job: JobDetails, key: str) -> str:
    """Return a value of the job's metadata; empty for a job that is none of ours."""
    return (job.metadata or {}).get(key, "")


def say_how_it_ended(job: JobDetails, say: Say) -> None:
    """Say in a line how a job that has ended did so.

    Raises:
        ClusterError: it failed.
    """
    name = job_fact(job, SWEEP)
    if job.status == JobStatus.FAILED:
        reason = " ".join(_why_failed(job).split())
        fix = f"`vibesweep logs {name}` has all its output"
        raise ClusterError(reason, where=f"sweep {name}", fix=fix)
    ended = "is done" if job.status == JobStatus.SUCCEEDED else "was stopped"
    say(f"{name} {ended}: {job_fact(job, FOLDER)}")


def _why_failed(job: JobDetails) -> str:
    if job.driver_exit_code is not None:
        code = job.driver_exit_code
        return f"its command ended with exit code {code}, for a reason that it put out last"
    return job.message or "Ray gives no reason"


def _connect(server: str) -> JobSubmissionClient:
    before = os.environ.get("RAY_API_SERVER_ADDRESS")
    os.environ["RAY_API_SERVER_ADDRESS"] = server  # Ray takes its variables before the argument
    try:
        return JobSubmissionClient(server)
    finally:
        if before is None:
            del os.environ["RAY_API_SERVER_ADDRESS"]
        else:
            os.environ["RAY_API_SERVER_ADDRESS"] = before

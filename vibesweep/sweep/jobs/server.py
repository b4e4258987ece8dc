"""Sweeps as Ray jobs: handed to a cluster's job server from a machine that is no part of it, followed, left, come back to and stopped.

Ray's own job server does all of it. A job is ``python -m vibesweep run`` on the cluster's head, in a folder with the space file; which
sweep it runs, and where, is written in its metadata.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import requests
from aiohttp import ClientError
from ray.exceptions import AuthenticationError, RayError
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

import vibesweep
from vibesweep.config import Sweep
from vibesweep.errors import TOKEN_FIX, ClusterError
from vibesweep.models.bundle import checkpoint_address
from vibesweep.storage import StoragePath
from vibesweep.sweep.jobs.shipping import copy_space
from vibesweep.sweep.prepare import is_demo
from vibesweep.sweep.record.record import SWEEPS

SWEEP, FOLDER = "sweep", "folder"
"""Of a job's metadata."""
STOP_WAIT_S = 300
"""How long a job that is stopped may take to finish the steps in hand, export and upload, before it is killed. Ray's own is 3 s."""
POLL_S = 0.5
Say = Callable[[str], object]


def job_server(address: str | None) -> str | None:
    """The job server that is meant by ``--address`` or, in Ray's order, by its two variables; ``None`` where a sweep is to run from here.

    Raises:
        ClusterError: ``address`` is none of a job server.
    """
    if address is not None and not _is_url(address):
        fix = "give its dashboard's, as in http://head:8265; a cluster that this host is a part of is found without, or by RAY_ADDRESS"
        raise ClusterError(f"{address} is no job server's address", where="--address", fix=fix)
    known = (
        address or os.environ.get("RAY_API_SERVER_ADDRESS") or os.environ.get("RAY_ADDRESS") or ""
    )
    return known if _is_url(known) else None


def the_job_server(address: str | None) -> str:
    """As :func:`job_server`, for what cannot be done without.

    Raises:
        ClusterError: there is none.
    """
    server = job_server(address)
    if server is None:
        raise ClusterError(
            "no job server is known",
            fix="name it, as in --address http://head:8265, or set RAY_API_SERVER_ADDRESS",
        )
    return server


def _is_url(address: str) -> bool:
    return address.startswith(("http://", "https://"))


def submit(
    server: str, space_file: Path, sweep: Sweep, name: str, work: str, options: Mapping[str, Any]
) -> str:
    """Hand a sweep to a job server, and return the job's id.

    Args:
        server: the job server's URL.
        space_file: goes along.
        sweep: what it defines, with the options.
        name: of the sweep.
        work: the folder in which the cluster works.
        options: of ``vibesweep run``, by name, that are given to it there.

    Raises:
        ClusterError: something in it is of this machine alone, a job runs a sweep of that name, or the server does not take it.
    """
    refuse_local(sweep, work)
    with _asking(server) as client:
        submission = _new_id(client.list_jobs(), name)
        with TemporaryDirectory(prefix="vibesweep-job-") as folder:
            copy_space(space_file, Path(folder))
            command = [
                "exec",
                "python",
                "-m",
                "vibesweep",
                "run",
                space_file.name,
                "--name",
                name,
                "--work",
                work,
            ]
            command += [part for key, value in options.items() for part in (f"--{key}", str(value))]
            client.submit_job(
                entrypoint=shlex.join(command),
                submission_id=submission,
                runtime_env=_runtime_env(Path(folder)),
                metadata={SWEEP: name, FOLDER: str(StoragePath.of(work) / SWEEPS / name)},
            )
    return submission


def refuse_local(sweep: Sweep, work: str) -> None:
    """Refuse, for a cluster elsewhere, what can only be meant for this machine.

    Raises:
        ClusterError: the folder, the corpus or the base is named by a path from this machine's working folder.
    """
    model = checkpoint_address(sweep.model) or sweep.model
    named = {
        "--work": work,
        "corpus": None if is_demo(sweep.corpus) else sweep.corpus,
        "model": model,
    }
    for what, address in named.items():
        here = (
            what != "model" or Path(model).expanduser().exists()
        )  # a shipped base's name is no path, nor is a hub id
        if address is not None and here and not address.startswith("/") and "://" not in address:
            fix = "the cluster cannot see it; give a URI, as in s3://bucket/folder, or an absolute path that all its hosts see"
            raise ClusterError(f"{what} is {address}, a path of this machine", fix=fix)


def follow(server: str, name: str, write: Say, say: Say) -> bool:
    """Write a sweep's output from its beginning to its end, or until Ctrl-C, which leaves the sweep alone.

    Args:
        server: the job server's URL.
        name: of the sweep.
        write: takes output as it comes.
        say: takes a line about how it ended.

    Returns:
        Whether it came to its end.

    Raises:
        ClusterError: there is no such sweep, it failed, or its output broke off.
    """
    with _asking(server) as client:
        submission = str(_find(client.list_jobs(), name).submission_id)
        come_back = f"vibesweep attach {name} --address {server}"
        try:
            why = asyncio.run(_tail(client, submission, write))
            job = None if why else client.get_job_info(submission)
        except KeyboardInterrupt:
            say(f"left alone: {name} goes on. To come back: {come_back}")
            say(f"To end it and keep what it has: vibesweep stop {name} --address {server}")
            return False
        if job is None or not job.status.is_terminal():
            fix = f"unless the cluster is down the sweep goes on; to come back: `{come_back}`"
            raise ClusterError(
                f"the output of {name} broke off{f' ({why})' if why else ''}", where=server, fix=fix
            )
        _tell_end(job, say)
    return True


def logs(server: str, name: str) -> str:
    """All that a sweep has put out so far.

    Raises:
        ClusterError: there is no such sweep.
    """
    with _asking(server) as client:
        return str(client.get_job_logs(str(_find(client.list_jobs(), name).submission_id)))


def stop(server: str, name: str, say: Say) -> None:
    """Have a sweep end as on Ctrl-C, and wait until it has.

    Raises:
        ClusterError: there is no such sweep, or it failed.
    """
    with _asking(server) as client:
        job = _find(client.list_jobs(), name)
        submission = str(job.submission_id)
        if not job.status.is_terminal():
            client.stop_job(submission)
            say(f"{name} is told to stop; it ends after the steps in hand and keeps everything")
        while not (job := client.get_job_info(submission)).status.is_terminal():
            time.sleep(POLL_S)
        _tell_end(job, say)


async def _tail(client: JobSubmissionClient, submission: str, write: Say) -> str:
    """Write output until no more comes; returns what broke the connection, or nothing."""
    try:
        async for lines in client.tail_job_logs(submission):
            write(lines)
    except (
        RuntimeError,
        ClientError,
    ) as error:  # a tunnel that ends in the middle is a RuntimeError of Ray's
        return str(error) or type(error).__name__
    return ""


def _tell_end(job: JobDetails, say: Say) -> None:
    name, folder = _fact(job, SWEEP), _fact(job, FOLDER)
    if job.status == JobStatus.FAILED:
        why = job.message or "Ray gives no reason"
        if job.driver_exit_code is not None:
            why = f"its command ended with exit code {job.driver_exit_code}, for a reason that it put out last"
        raise ClusterError(
            " ".join(why.split()),
            where=f"sweep {name}",
            fix=f"`vibesweep logs {name}` has all its output",
        )
    say(f"{name} {'is done' if job.status == JobStatus.SUCCEEDED else 'was stopped'}: {folder}")


def _fact(job: JobDetails, key: str) -> str:
    """Of the job's metadata; empty for a job that is none of ours."""
    return (job.metadata or {}).get(key, "")


def _find(jobs: list[JobDetails], name: str) -> JobDetails:
    """The latest job that runs or ran a sweep of that name."""
    found = [job for job in jobs if _fact(job, SWEEP) == name]
    if not found:
        known = ", ".join(sorted({_fact(job, SWEEP) for job in jobs} - {""})) or "none"
        raise ClusterError(f"no job runs or ran a sweep named {name}", fix=f"sweeps there: {known}")
    return max(found, key=lambda job: job.start_time or 0)


def _new_id(jobs: list[JobDetails], name: str) -> str:
    """The sweep's name, with a number where another sweep of that name has had it: Ray never gives an id twice."""
    running = [job for job in jobs if _fact(job, SWEEP) == name and not job.status.is_terminal()]
    if running:
        fix = f"`vibesweep attach {name}` shows it; or choose another name with --name"
        raise ClusterError(f"a job runs a sweep named {name} already", fix=fix)
    plain, taken = (
        re.sub(r"[^\w.-]", "-", name, flags=re.ASCII),
        {job.submission_id for job in jobs},
    )
    numbered = [plain, *(f"{plain}-{number}" for number in range(2, len(taken) + 3))]
    return next(found for found in numbered if found not in taken)


def _runtime_env(folder: Path) -> dict[str, Any]:
    """What the job's processes find: the space, this vibesweep where it is a checkout, time to end, and no job server to go to again."""
    package = Path(vibesweep.__file__).parent
    checkout = [str(package)] if (package.parent / "pyproject.toml").is_file() else []
    variables = {"RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S), "RAY_API_SERVER_ADDRESS": ""}
    return {
        "working_dir": str(folder),
        "py_modules": checkout,
        "excludes": ["__pycache__"],
        "env_vars": variables,
    }


@contextmanager
def _asking(server: str) -> Iterator[JobSubmissionClient]:
    """A client of the job server; whatever the server or the way to it says against it becomes a ``ClusterError``."""
    for chatty in ("job.sdk", "dashboard_sdk"):
        logging.getLogger(f"ray.dashboard.modules.{chatty}").setLevel(logging.WARNING)
    try:
        yield _client(server)
    except AuthenticationError as error:
        raise ClusterError(
            "it asks for the cluster's token", where=server, fix=TOKEN_FIX
        ) from error
    except BrokenPipeError:  # a ConnectionError too, but of whoever read the output, as in `| head`
        raise
    except (
        ConnectionError,
        RuntimeError,
        RayError,
        ClientError,
        requests.RequestException,
    ) as error:
        fix = "see that the address is its dashboard's and the cluster is up"
        raise ClusterError(" ".join(str(error).split())[:500], where=server, fix=fix) from error


def _client(server: str) -> JobSubmissionClient:
    before = os.environ.get("RAY_API_SERVER_ADDRESS")
    os.environ["RAY_API_SERVER_ADDRESS"] = server  # Ray takes its variables before the argument
    try:
        return JobSubmissionClient(server)
    finally:
        if before is None:
            del os.environ["RAY_API_SERVER_ADDRESS"]
        else:
            os.environ["RAY_API_SERVER_ADDRESS"] = before

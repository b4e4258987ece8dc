"""Follows a sweep that a job server runs, or reads what it has put out so far."""

from __future__ import annotations

import asyncio

from aiohttp import ClientError
from ray.job_submission import JobSubmissionClient

from vibesweep.errors import ClusterError
from vibesweep.progress import Say
from vibesweep.sweep.jobs.server import find_job, job_client, say_how_it_ended


def follow(server: str, name: str, write: Say, say: Say) -> bool:
    """Write a sweep's output from its beginning to its end, or until Ctrl-C.

    Ctrl-C leaves the sweep running.

    Args:
        server: the job server's URL.
        name: the sweep's name.
        write: takes output as it comes.
        say: takes a line about how the sweep ended.

    Returns:
        Whether the sweep came to its end.

    Raises:
        ClusterError: there is no such sweep, it failed, or its output broke off.
    """
    with job_client(server) as client:
        submission = str(find_job(client.list_jobs(), name).submission_id)
        come_back = f"vibesweep attach {name} --address {server}"
        try:
            broken = asyncio.run(_tail(client, submission, write))
            job = None if broken else client.get_job_info(submission)
        except KeyboardInterrupt:
            say(f"left alone: {name} goes on. To come back: {come_back}")
            say(f"To end it and keep what it has: vibesweep stop {name} --address {server}")
            return False
        if job is None or not job.status.is_terminal():
            why = f" ({broken})" if broken else ""
            fix = f"unless the cluster is down the sweep goes on; to come back: `{come_back}`"
            raise ClusterError(f"the output of {name} broke off{why}", where=server, fix=fix)
        say_how_it_ended(job, say)
    return True


def logs(server: str, name: str) -> str:
    """Return everything that a sweep has put out so far.

    Raises:
        ClusterError: there is no such sweep.
    """
    with job_client(server) as client:
        job = find_job(client.list_jobs(), name)
        return str(client.get_job_logs(str(job.submission_id)))


async def _tail(client: JobSubmissionClient, submission: str, write: Say) -> str:
    """Write output until no more comes, and return what broke the connection, or nothing."""
    try:
        async for lines in client.tail_job_logs(submission):
            write(lines)
    except (RuntimeError, ClientError) as error:  # Ray raises RuntimeError when a tunnel ends
        return str(error) or type(error).__name__
    return ""

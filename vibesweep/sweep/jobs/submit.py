"""Gives a sweep to a job server: what goes along, under which id, and what is refused before."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ray.job_submission import JobDetails

from vibesweep.config import Sweep
from vibesweep.errors import ClusterError, ModelError
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.sweep.checks.corpus import is_demo
from vibesweep.sweep.jobs.server import FOLDER, SWEEP, job_client, job_fact
from vibesweep.sweep.jobs.shipping import copy_space
from vibesweep.sweep.record.folder import SWEEPS, check_name
from vibesweep.version import PACKAGE

STOP_WAIT_S = 300
"""How long a stopped job may take to finish its steps, export and upload before it is killed.

Ray's own is 3 s.
"""


def submit(
    server: str, space_file: Path, sweep: Sweep, name: str, work: str, options: Mapping[str, Any]
) -> str:
    """Give a sweep to a job server, and return the job's id.

    Args:
        server: the job server's URL.
        space_file: the file that defines the sweep; it goes along.
        sweep: what it defines, with the options.
        name: the sweep's name.
        work: the folder in which the cluster works.
        options: options of ``vibesweep run``, by name, that the job gives to it.

    Raises:
        SweepError: the name cannot be a folder's.
        ClusterError: something in it is on this machine alone, a job runs a sweep of that name, or
            the server does not take it.
    """
    check_name(name)
    refuse_local(sweep, work)
    folder = StoragePath.of(work) / SWEEPS / name
    with job_client(server) as client, TemporaryDirectory(prefix="vibesweep-job-") as shipped:
        submission = new_job_id(client.list_jobs(), name)
        copy_space(space_file, Path(shipped))
        client.submit_job(
            entrypoint=_command(space_file.name, name, work, options),
            submission_id=submission,
            runtime_env=_runtime_env(Path(shipped)),
            metadata={SWEEP: name, FOLDER: str(folder)},
        )
    return submission


def refuse_local(sweep: Sweep, work: str) -> None:
    """Refuse, for a cluster elsewhere, a path that can only be meant for this machine.

    Raises:
        ClusterError: the folder, the corpus or the base is a path from this machine's working
            folder.
    """
    paths = {"--work": work}
    if not is_demo(sweep.corpus):
        paths["corpus"] = sweep.corpus
    model = _model_folder(sweep.model)
    if model is not None:
        paths["model"] = model
    for what, path in paths.items():
        if not path.startswith("/") and "://" not in path:
            uri = "give a URI, as in s3://bucket/folder, or an absolute path that all its hosts see"
            found = f"{what} is {path}, a path of this machine"
            raise ClusterError(found, fix=f"the cluster cannot see it; {uri}")


def _model_folder(name: str) -> str | None:
    """Return the folder that a model's name stands for on this machine, if it stands for one."""
    try:
        model = ModelRef.parse(name)
    except ModelError:  # there is no such model here; the cluster may have one
        return name if Path(name).expanduser().exists() else None
    folder = model.family.folder(model.address)
    return None if folder is None else model.address


def new_job_id(jobs: list[JobDetails], name: str) -> str:
    """Return an id for a job: the sweep's name, numbered if it has been an id before.

    Ray never gives an id twice.

    Raises:
        ClusterError: a job runs a sweep of that name.
    """
    of_that_name = [job for job in jobs if job_fact(job, SWEEP) == name]
    if any(not job.status.is_terminal() for job in of_that_name):
        fix = f"`vibesweep attach {name}` shows it; or choose another name with --name"
        raise ClusterError(f"a job runs a sweep named {name} already", fix=fix)
    taken = {job.submission_id for job in jobs}
    plain = re.sub(r"[^\w.-]", "-", name, flags=re.ASCII)
    submission = plain
    number = 1
    while submission in taken:
        number += 1
        submission = f"{plain}-{number}"
    return submission


def _command(space_file: str, name: str, work: str, options: Mapping[str, Any]) -> str:
    command = ["exec", "python", "-m", "vibesweep", "run", space_file]
    command += ["--name", name, "--work", work]
    for key, value in options.items():
        option = "--" + key.replace("_", "-")
        if value is True:
            command.append(option)
        elif isinstance(value, list):
            for one in value:
                command += [option, str(one)]
        elif value is not False:
            command += [option, str(value)]
    return shlex.join(command)


def _runtime_env(folder: Path) -> dict[str, Any]:
    """Say what the job's processes find on the cluster.

    That is the space file, this vibesweep if it is a checkout, time to end, and no job server to
    submit the sweep to again.
    """
    is_checkout = (PACKAGE.parent / "pyproject.toml").is_file()
    return {
        "working_dir": str(folder),
        "py_modules": [str(PACKAGE)] if is_checkout else [],
        "excludes": ["__pycache__"],
        "env_vars": {
            "RAY_JOB_STOP_WAIT_TIME_S": str(STOP_WAIT_S),
            "RAY_API_SERVER_ADDRESS": "",
        },
    }

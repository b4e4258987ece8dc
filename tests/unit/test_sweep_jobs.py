"""What a job server is told of a sweep, and what is refused before it is asked: no cluster."""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import ServerDisconnectedError
from optuna.distributions import FloatDistribution
from ray.job_submission import JobDetails, JobStatus, JobType

from vibesweep.cli.job_server import follow_job
from vibesweep.config import Sweep
from vibesweep.errors import ClusterError
from vibesweep.sweep.jobs import attach, server
from vibesweep.sweep.jobs.address import job_server, required_job_server
from vibesweep.sweep.jobs.server import find_job, say_how_it_ended
from vibesweep.sweep.jobs.shipping import copy_space
from vibesweep.sweep.jobs.submit import new_job_id, refuse_local

SWEEP = Sweep({"learning_rate": FloatDistribution(1e-5, 1e-2)})
SERVER = "http://head:8265"


def job(name: str, status: JobStatus, submission: str, began: int = 0) -> JobDetails:
    facts = {"sweep": name, "folder": f"s3://b/sweeps/{name}"} if name else None
    return JobDetails(
        type=JobType.SUBMISSION,
        submission_id=submission,
        status=status,
        metadata=facts,
        start_time=began,
        entrypoint="x",
    )


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("option", "api", "ray", "found"),
    [
        (None, "", "", None),
        (None, "", "auto", None),
        (None, "", "10.0.0.1:6379", None),
        (None, "", SERVER, SERVER),
        (None, SERVER, "10.0.0.1:6379", SERVER),
        ("https://other", SERVER, SERVER, "https://other"),
    ],
)
def test_a_job_server_is_looked_for_where_ray_does(
    monkeypatch: pytest.MonkeyPatch, option: str | None, api: str, ray: str, found: str | None
) -> None:
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", api)
    monkeypatch.setenv("RAY_ADDRESS", ray)
    assert job_server(option) == found


def test_an_address_that_is_no_job_servers_is_refused() -> None:
    with pytest.raises(ClusterError, match="head:6379 is no job server's address"):
        job_server("head:6379")
    with pytest.raises(ClusterError, match="no job server is known"):
        required_job_server(None)


@pytest.mark.parametrize("work", ["s3://bucket/folder", "/mnt/shared", "gs://b"])
def test_what_a_cluster_can_see_goes(
    work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for corpus in ("demo", "s3://bucket/corpus", "/mnt/corpus"):
        for model in (
            "mel-small",
            "vibevoice:vibevoice/VibeVoice-1.5B-hf",
            "vibevoice:/mnt/checkpoint",
            "/mnt/base",
        ):
            refuse_local(replace(SWEEP, corpus=corpus, model=model), work)


@pytest.mark.parametrize(
    ("work", "change", "found"),
    [
        (".", {}, r"--work is \., a path of this machine\. The cluster cannot see it"),
        ("s3://b/w", {"corpus": "my_recordings"}, "corpus is my_recordings"),
        ("s3://b/w", {"model": "my_voice"}, "model is my_voice"),
        ("s3://b/w", {"model": "vibevoice:my_voice"}, "model is my_voice"),
        ("s3://b/w", {"model": "vibevoice:./my_voice"}, r"model is \./my_voice"),
    ],
)
def test_what_lies_on_this_machine_is_refused(
    work: str, change: dict[str, str], found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_voice").mkdir()
    with pytest.raises(ClusterError, match=found):
        refuse_local(replace(SWEEP, **change), work)  # type: ignore[arg-type]


def test_a_corpus_named_demo_here_is_not_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    with pytest.raises(ClusterError, match="corpus is demo"):
        refuse_local(replace(SWEEP, corpus="demo"), "s3://b/w")


def test_a_name_is_an_id_until_it_has_been_one() -> None:
    assert new_job_id([], "lr_opt") == "lr_opt"
    ended = [
        job("lr_opt", JobStatus.FAILED, "lr_opt"),
        job("", JobStatus.RUNNING, "lr_opt-2"),
        job("", JobStatus.RUNNING, "other"),
    ]
    assert new_job_id(ended, "lr_opt") == "lr_opt-3"
    assert new_job_id([], "a b/ü") == "a-b--"
    with pytest.raises(ClusterError, match="a job runs a sweep named lr_opt already"):
        new_job_id([job("lr_opt", JobStatus.PENDING, "lr_opt")], "lr_opt")


def test_the_latest_job_of_a_name_is_meant() -> None:
    known = [
        job("a", JobStatus.STOPPED, "a", 1),
        job("a", JobStatus.RUNNING, "a-2", 2),
        job("", JobStatus.RUNNING, "x", 3),
    ]
    assert find_job(known, "a").submission_id == "a-2"
    with pytest.raises(
        ClusterError, match=r"no job runs or ran a sweep named b\. Sweeps there: a\."
    ):
        find_job(known, "b")


def test_how_a_job_ended_is_told() -> None:
    said: list[str] = []
    say_how_it_ended(job("a", JobStatus.SUCCEEDED, "a"), said.append)
    say_how_it_ended(job("a", JobStatus.STOPPED, "a"), said.append)
    assert said == ["a is done: s3://b/sweeps/a", "a was stopped: s3://b/sweeps/a"]
    failed = job("a", JobStatus.FAILED, "a")
    with pytest.raises(ClusterError, match="no room for it"):
        say_how_it_ended(failed.model_copy(update={"message": "no room\nfor it"}), said.append)
    with pytest.raises(ClusterError, match="exit code 2"):
        say_how_it_ended(
            failed.model_copy(update={"message": "…", "driver_exit_code": 2}), said.append
        )


class Server:
    """A job server's client, of one job whose output comes and then ends or breaks."""

    def __init__(self, status: JobStatus, breaks: Exception | None = None) -> None:
        self._job, self._breaks = job("a", status, "a"), breaks

    def list_jobs(self) -> list[JobDetails]:
        return [self._job]

    def get_job_info(self, submission: str) -> JobDetails:
        return self._job

    async def tail_job_logs(self, submission: str) -> AsyncIterator[str]:
        yield "a line\n"
        if self._breaks is not None:
            raise self._breaks


def test_a_sweep_is_followed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_connect", lambda address: Server(JobStatus.SUCCEEDED))
    told: list[str] = []
    assert attach.follow(SERVER, "a", told.append, told.append)
    assert told == ["a line\n", "a is done: s3://b/sweeps/a"]


@pytest.mark.parametrize(
    ("breaks", "why"),
    [
        (None, "broke off"),
        (
            RuntimeError("closed unexpectedly with close code 1006"),
            r"broke off \(closed unexpectedly with close code 1006\)",
        ),
        (ServerDisconnectedError(), r"broke off \(Server disconnected\)"),
    ],
)
def test_output_that_ends_before_the_sweep_is_an_error_that_says_how_to_come_back(
    breaks: Exception | None, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_connect", lambda address: Server(JobStatus.RUNNING, breaks))
    told: list[str] = []
    come_back = f"to come back: `vibesweep attach a --address {SERVER}`"
    how = rf"Unless the cluster is down the sweep goes on; {come_back}"
    with pytest.raises(ClusterError, match=rf"the output of a {why}\. {how}"):
        attach.follow(SERVER, "a", told.append, told.append)
    assert told == ["a line\n"]


def test_a_reader_that_has_gone_is_no_fault_of_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(lines: str) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(server, "_connect", lambda address: Server(JobStatus.RUNNING))
    with pytest.raises(BrokenPipeError):
        attach.follow(SERVER, "a", gone, gone)


def test_output_goes_into_a_pipe_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    pipe, seen = io.BytesIO(), []

    def follow(server: str, name: str, write: Callable[[str], object], say: object) -> bool:
        write("a line\n")
        seen.append(pipe.getvalue())
        return True

    monkeypatch.setattr(attach, "follow", follow)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe))
    follow_job(SERVER, "a")
    assert seen == [b"a line\n"]


def test_only_the_space_and_what_it_imports_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    staged, spaces, shipped = (
        tmp_path / "staged",
        tmp_path / "staged" / "spaces",
        tmp_path / "shipped",
    )
    for folder in (
        spaces,
        shipped,
        staged / "family",
        staged / "vibesweep",
        staged / "sweeps" / "one",
        staged / ".git",
    ):
        folder.mkdir(parents=True)
    (spaces / "mine.py").write_text(
        "import optuna, beside\nfrom family.rates import HIGH\nfrom vibesweep import Sweep\n"
    )
    (spaces / "beside.py").write_text("import further\nimport beside\n")
    (staged / "further.py").write_text("")
    (staged / "unused.py").write_text("")
    (staged / "vibesweep" / "__init__.py").write_text("")
    (staged / "family" / "__init__.py").write_text("")
    (staged / "family" / "rates.py").write_text("HIGH = 1.0\n")
    monkeypatch.chdir(staged)
    copy_space(spaces / "mine.py", shipped)
    files = {path.relative_to(shipped).as_posix() for path in shipped.rglob("*.py")}
    assert files == {"mine.py", "beside.py", "further.py", "family/__init__.py", "family/rates.py"}


def test_a_server_that_is_not_there_is_named() -> None:
    with pytest.raises(ClusterError, match=r"http://127\.0\.0\.1:9: Failed to connect"):
        attach.logs("http://127.0.0.1:9", "any")

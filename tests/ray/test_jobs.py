"""Sweeps handed to a job server, as a user types it on a machine that is no part of the cluster."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.waiting import wait_until
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.sweep.record import SweepFolder, SweepState, TrialState

pytestmark = pytest.mark.slow

TOKEN = {"RAY_AUTH_MODE": "token"}
SPACE = """
import neighbour
import optuna
import vibesweep
from vibesweep import Budget, Sweep, TrialSettings

print("vibesweep lies in", vibesweep.__file__)

def space(trial: optuna.Trial) -> None:
    trial.suggest_float("learning_rate", 1e-4, neighbour.HIGHEST, log=True)

sweep = Sweep(space=space, settings=TrialSettings(method="lora", batch_clips=2), trials=2, lanes=1,
              budget=Budget(max_steps={steps}, grace_steps=1, reduction_factor=100_000))
"""


@dataclass(frozen=True)
class Head:
    """A cluster of one host, as `ray start` brings it up, and its own temporary folder.

    Not the other tests' cluster: a job asks its host which cluster it is on, and would find any
    that runs there.
    """

    server: str
    temporary: Path


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    temporary = Path(tempfile.mkdtemp(prefix="vs", dir="/tmp"))  # short, for sockets lie in it
    ports = dict(
        zip(
            ("port", "dashboard-port", "dashboard-agent-listen-port", "ray-client-server-port"),
            free_ports(4),
            strict=True,
        )
    )
    command = [
        str(Path(sys.executable).parent / "ray"),
        "start",
        "--head",
        "--block",
        "--num-cpus=2",
        "--disable-usage-stats",
    ]
    # The command of a job is looked for on the cluster's path, as anywhere
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"RAY_TMPDIR": str(temporary), "PATH": path}
    command += [f"--{name}={port}" for name, port in ports.items()]
    started = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    server = f"http://127.0.0.1:{ports['dashboard-port']}"
    try:
        written = temporary / "ray" / "ray_current_cluster"  # when all of it runs
        assert wait_until(
            lambda: started.poll() is not None or (written.is_file() and answers(server)), 120.0
        )
        assert started.poll() is None
        yield Head(server, temporary)
    finally:
        started.terminate()
        started.wait(60.0)
        shutil.rmtree(temporary, ignore_errors=True)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    found = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return found


def answers(server: str) -> bool:
    try:
        return bool(urllib.request.urlopen(f"{server}/api/version", timeout=5).status == 200)
    except urllib.error.HTTPError as error:
        return error.code in (401, 403)  # it wants the token
    except OSError:
        return False


@dataclass(frozen=True)
class Laptop:
    """A folder with spaces that the cluster cannot see, a job server, and what the cluster sees."""

    folder: Path
    server: str
    corpus: Path
    work: Path

    def command(self, verb: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "vibesweep", verb, *arguments, "--address", self.server]

    @property
    def environment(self) -> dict[str, str]:
        """The cluster's token lies where Ray looks for it, and Ray is told to."""
        return {
            key: value
            for key, value in os.environ.items()
            if key not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
        } | TOKEN

    def type(self, verb: str, *arguments: str, rc: int = 0, **variables: str) -> str:
        environment = self.environment | variables
        done = subprocess.run(
            self.command(verb, *arguments),
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == rc, done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        return done.stdout if rc == 0 else done.stderr

    def options(self) -> tuple[str, ...]:
        return ("--corpus", str(self.corpus), "--work", str(self.work))


@pytest.fixture(scope="module")
def laptop(head: Head, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    folder, shared = tmp_path_factory.mktemp("laptop"), tmp_path_factory.mktemp("shared")
    (folder / "short.py").write_text(SPACE.replace("{steps}", "2"))
    (folder / "endless.py").write_text(SPACE.replace("{steps}", "100_000"))
    (folder / "neighbour.py").write_text("HIGHEST = 1e-3\n")
    (folder / "sweeps").mkdir()  # nothing of which is shipped
    return Laptop(
        folder, head.server, write_demo_corpus(shared / "talks", recordings=6), shared / "work"
    )


JOIN = """
import ray
from vibesweep.cluster.session import running_ray

with running_ray():
    print(ray.get_runtime_context().gcs_address)
"""


def test_a_host_of_a_cluster_joins_it(head: Head, laptop: Laptop) -> None:
    environment = laptop.environment | {"RAY_TMPDIR": str(head.temporary)}
    command = [sys.executable, "-c", JOIN]
    joined = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert joined.stdout.strip() == (head.temporary / "ray" / "ray_current_cluster").read_text()
    refused = subprocess.run(
        command, env=environment | {"RAY_AUTH_MODE": "disabled"}, capture_output=True, text=True
    )
    assert "the cluster asks for its token. Set RAY_AUTH_MODE=token" in refused.stderr


def test_a_sweep_is_handed_over_and_come_back_to(laptop: Laptop) -> None:
    said = laptop.type("submit", "short.py", *laptop.options())
    assert "job short runs sweep short" in said
    told = laptop.type("attach", "short")
    record = SweepFolder(laptop.work / "sweeps" / "short").read()
    assert record.state == SweepState.DONE
    assert "2 of 2 ended" in told
    assert f"best model: {laptop.work}/sweeps/short/best" in told
    assert told.splitlines()[-1] == f"short is done: {laptop.work}/sweeps/short"
    assert "py_modules" in next(
        line for line in told.splitlines() if line.startswith("vibesweep lies in")
    )
    assert "2 of 2 ended" in laptop.type("logs", "short")
    assert "ended with exit code 2" in laptop.type("run", "short.py", *laptop.options(), rc=2)
    assert "there is a sweep named short already" in laptop.type("logs", "short"), "the job said so"


def test_ctrl_c_leaves_a_sweep_alone_and_stop_ends_it(laptop: Laptop) -> None:
    command = laptop.command("run", "endless.py", *laptop.options())
    with subprocess.Popen(
        command,
        cwd=laptop.folder,
        env=laptop.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as running:
        assert running.stdout is not None
        said = []
        for line in running.stdout:
            said.append(line)
            if "steps/s" in line:
                break
        running.send_signal(signal.SIGINT)
        rest = running.stdout.read()
    assert running.returncode == 130, "".join(said) + rest
    assert "Traceback" not in rest
    assert f"vibesweep attach endless --address {laptop.server}" in rest
    assert "a job runs a sweep named endless already" in laptop.type(
        "submit", "endless.py", *laptop.options(), rc=2
    )
    assert "endless was stopped" in laptop.type("stop", "endless")
    folder = SweepFolder(laptop.work / "sweeps" / "endless")
    record = folder.read()
    assert record.state == SweepState.STOPPED
    assert [trial.state for trial in record.trials] == [TrialState.STOPPED]
    _, _, checkpoint = folder.best_checkpoint()
    assert checkpoint.is_dir()
    assert "endless was stopped" in laptop.type("stop", "endless"), (
        "it is no error to stop what has ended"
    )


def test_what_is_not_there_is_one_line(laptop: Laptop) -> None:
    for verb in ("attach", "logs", "stop"):
        said = laptop.type(verb, "nothing", rc=2)
        assert said.count("\n") == 1
        assert "no job runs or ran a sweep named nothing" in said
    assert "Set RAY_AUTH_MODE=token" in laptop.type(
        "logs", "nothing", rc=2, RAY_AUTH_MODE="disabled"
    )
    said = laptop.type("submit", "short.py", "--name", "other", rc=2)
    assert said.count("\n") == 1
    assert "--work is ., a path of this machine" in said

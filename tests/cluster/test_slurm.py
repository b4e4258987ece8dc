"""The Slurm script, step by step.

Slurm, Ray and Python are test doubles on PATH that write down how they were called.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cluster.hosts import write_program
from tests.waiting import wait_until

SCRIPT = Path(__file__).parents[2] / "examples" / "clusters" / "slurm.sh"

# Doubles: srun runs what it is given, ray stays until it is told to go, python answers for the
# cluster and the sweep
DOUBLES = {
    "scontrol": 'echo "scontrol $*" >> calls; printf "%s\\n" $NODES',
    "hostname": 'echo "10.1.2.3 172.17.0.1 "',
    "srun": """
while [[ $1 == -* ]]; do options+=" $1"; shift; done
echo "srun$options" >> calls
exec "$@"
""",
    "ray": """
trap 'echo "ray ended" >> calls; exit 0' TERM
echo "ray $* with $RAY_AUTH_MODE auth ${#RAY_AUTH_TOKEN}" >> calls
[[ -z ${RAY_FAILS:-} ]] || exit 1
if [[ $1 == start ]]; then while :; do sleep 0.05; done; else grep -q -- "--head" calls; fi
""",
    "python": """
case $* in
  *token_hex*) printf 'a%.0s' {1..64} ;;
  *ray.nodes*) echo "$RAY_ADDRESS has ${@: -1} nodes" >> calls
     [[ $(grep -c "^ray start" calls) -ge ${@: -1} ]] \\
       && [[ $(grep -c "nodes$" calls) -ge ${UP_AFTER:-1} ]] ;;
  *) trap 'echo "python interrupted" >> calls; exit 0' INT
     echo "python $*" >> calls
     [[ -z ${SWEEP_WAITS:-} ]] || while :; do sleep 0.05; done
     exit ${SWEEP_EXITS:-0} ;;
esac
""",
}


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a job on two nodes, whose programs are the doubles."""
    for name, script in DOUBLES.items():
        write_program(tmp_path / "bin" / name, f"#!/bin/bash\n{script}\n")
    activate = tmp_path / ".venv" / "bin" / "activate"
    activate.parent.mkdir(parents=True)
    activate.write_text(f"PATH={tmp_path}/bin:$PATH\n")
    job = {
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_JOB_ID": "123456",
        "SLURM_CPUS_PER_TASK": "16",
    }
    return {"PATH": os.environ["PATH"], "NODES": "node1 node2", **job}


def run_slurm(
    environment: dict[str, str], *arguments: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    command = ["bash", str(SCRIPT), *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    return done, (Path(environment["SLURM_SUBMIT_DIR"]) / "calls").read_text().splitlines()


def test_a_slurm_job_brings_up_two_nodes_and_runs_the_sweep(slurm: dict[str, str]) -> None:
    done, calls = run_slurm(
        slurm | {"UP_AFTER": "2"}, "search_spaces/lr_opt.py", "--name", "a name"
    )
    assert (done.returncode, done.stderr) == (0, "")
    start = "ray start --block --num-cpus=16"
    token = "with token auth 64"
    head = "--head --node-ip-address=10.1.2.3 --port=23456 --dashboard-host=127.0.0.1"
    assert set(calls) == {
        "scontrol show hostnames node[1-2]",
        "srun --nodes=1 --ntasks=1 --cpus-per-task=16 --overlap --nodelist=node1",
        f"{start} {head} {token}",
        "ray status --address 10.1.2.3:23456 with token auth 64",
        "srun --nodes=1 --ntasks=1 --cpus-per-task=16 --overlap --exclude=node1",
        f"{start} --address=10.1.2.3:23456 {token}",
        "10.1.2.3:23456 has 2 nodes",
        "python -m vibesweep run search_spaces/lr_opt.py --name a name",
        "ray ended",
    }
    assert calls.count("10.1.2.3:23456 has 2 nodes") >= 2
    assert calls[-3:] == [
        "python -m vibesweep run search_spaces/lr_opt.py --name a name",
        "ray ended",
        "ray ended",
    ]


def test_a_slurm_job_on_one_node_has_no_workers(slurm: dict[str, str]) -> None:
    done, calls = run_slurm(slurm | {"NODES": "node1"}, "space.py")
    assert done.returncode == 0
    assert [call for call in calls if "--exclude" in call or "nodes" in call.split()] == []


def test_a_slurm_job_fails_as_its_sweep_does(slurm: dict[str, str]) -> None:
    done, calls = run_slurm(slurm | {"SWEEP_EXITS": "2"}, "space.py")
    assert done.returncode == 2
    assert calls.count("ray ended") == 2


def test_a_slurm_job_says_so_when_ray_does_not_come_up(slurm: dict[str, str]) -> None:
    done, calls = run_slurm(slurm | {"RAY_FAILS": "1"}, "space.py")
    assert done.returncode == 1
    assert "Ray ended before Ray's head was up" in done.stderr
    assert not any("vibesweep" in call for call in calls)


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_a_slurm_job_whose_time_is_up_ends_the_sweep_as_ctrl_c_would(
    slurm: dict[str, str], told: signal.Signals
) -> None:
    calls = Path(slurm["SLURM_SUBMIT_DIR"]) / "calls"
    with subprocess.Popen(
        ["bash", str(SCRIPT), "space.py"], env=slurm | {"SWEEP_WAITS": "1"}
    ) as job:
        assert wait_until(lambda: calls.exists() and "vibesweep run" in calls.read_text(), 30.0)
        job.send_signal(told)
        assert job.wait(30) == 0
    assert calls.read_text().splitlines()[-3:] == ["python interrupted", "ray ended", "ray ended"]

"""A sweep as it is watched from outside: Ray's State API, the dashboard, and Prometheus."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import ray
from optuna.distributions import CategoricalDistribution
from prometheus_client.parser import text_string_to_metric_families
from ray.util.state import list_actors, list_tasks
from rich.console import Console

from tests import tiny
from tests.waiting import wait_until
from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.sweep.record import SweepRecord, TrialState
from vibesweep.sweep.record.metrics import GAUGES, TRIAL_GAUGES
from vibesweep.sweep.run import run_sweep

NAME = "watched"
RATES = [1e-3, 1e-5]
RAY_PREFIX = "ray_"
"""Ray puts this before the name of each metric."""
BUDGET = Budget(max_steps=12, grace_steps=6, reduction_factor=2)
EXPORTED_WITHIN_S = 30.0
CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
RAY = Path(sys.executable).with_name("ray")
PROMETHEUS = shutil.which("prometheus")
DASHBOARD = Path(__file__).parents[2] / "docs" / "grafana" / "vibesweep.json"

Series = dict[tuple[str, str], float]
"""The values of a metric by its name and its last tag of ours."""


@dataclass
class Outside:
    """What was seen in the node's metrics, and of Prometheus, while a sweep ran."""

    record: SweepRecord
    prometheus: str | None
    seen: Series = field(default_factory=dict)


@pytest.fixture(scope="module")
def dashboard(ray_cluster: str) -> str:
    """Address of the dashboard, which a second init of the same process tells."""
    return f"http://{ray.init(ignore_reinit_error=True).dashboard_url}"


@pytest.fixture(scope="module")
def metrics_port(ray_cluster: str) -> str:
    """Host and port at which the driver's node gives its metrics."""
    node = ray.nodes()[0]
    return f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}"


@pytest.fixture(scope="module")
def outside(metrics_port: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    folder = tmp_path_factory.mktemp("watched")
    sweep = Sweep(
        space={"learning_rate": CategoricalDistribution(RATES)},
        try_first=tuple({"learning_rate": rate} for rate in RATES),
        corpus=str(tiny.write_shards(folder / "shards")),
        model=str(tiny.write_base(folder / "base")),
        settings=TrialSettings(method="full", batch_clips=4),
        budget=BUDGET,
        trials=len(RATES),
    )
    seen: Series = {}
    with scraped(metrics_port, folder) as prometheus, looking(metrics_port, seen):
        ran = run_sweep(sweep, NAME, work=folder, console=Console(quiet=True))
        found = Outside(ran.read(), prometheus, seen)
        wait_until(lambda: expected(found.record).keys() <= seen.keys(), EXPORTED_WITHIN_S)
        yield found


@contextmanager
def looking(port: str, seen: Series) -> Iterator[None]:
    """Read the node's metrics again and again, and keep the last value of each series of ours."""
    closing = threading.Event()

    def look() -> None:
        while not closing.wait(0.3):
            with suppress(OSError):  # a busy agent may answer late
                seen.update(read_metrics(port))

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield
    finally:
        closing.set()
        thread.join()


def read_metrics(port: str) -> Series:
    """Return what a scrape of the node finds of the watched sweep."""
    with urllib.request.urlopen(f"http://{port}/metrics", timeout=10) as answer:
        families = text_string_to_metric_families(answer.read().decode())
        samples = [sample for family in families for sample in family.samples]
    ours = {RAY_PREFIX + name: tags for name, (_, tags) in GAUGES.items()}
    return {
        (sample.name.removeprefix(RAY_PREFIX), sample.labels[ours[sample.name][-1]]): sample.value
        for sample in samples
        if sample.name in ours and sample.labels["sweep"] == NAME
    }


@contextmanager
def scraped(port: str, folder: Path) -> Iterator[str | None]:
    """Run a Prometheus that scrapes the node, where there is one, and yield its address."""
    if PROMETHEUS is None:
        yield None
        return
    with free_port() as free:
        address = f"127.0.0.1:{free}"
    config = {
        "scrape_configs": [
            {"job_name": "ray", "scrape_interval": "1s", "static_configs": [{"targets": [port]}]}
        ]
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    command = [
        PROMETHEUS,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address={address}",
    ]
    with (
        (folder / "prometheus.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            yield f"http://{address}"
        finally:
            process.terminate()


@contextmanager
def free_port() -> Iterator[int]:
    """Find a port that is free at this moment."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        yield server.server_port


def expected(record: SweepRecord) -> Series:
    """Return what the port must have said last, by the record."""
    assert record.best is not None
    assert record.best.best_loss_val is not None
    assert record.base_loss_val is not None
    found = {
        ("vibesweep_best_loss_val", NAME): record.best.best_loss_val,
        ("vibesweep_base_loss_val", NAME): record.base_loss_val,
    }
    for state in (TrialState.COMPLETE, TrialState.PRUNED):
        found["vibesweep_trials", state] = sum(trial.state == state for trial in record.trials)
    for trial in record.trials:
        for name in TRIAL_GAUGES:
            found[name, str(trial.number)] = getattr(trial, name.removeprefix("vibesweep_trial_"))
    return found


def test_the_nodes_port_tells_what_the_record_says(outside: Outside) -> None:
    want = expected(outside.record)
    wait_until(
        lambda: all(
            math.isclose(outside.seen.get(key, math.nan), value) for key, value in want.items()
        ),
        EXPORTED_WITHIN_S,
    )
    assert {key: outside.seen.get(key) for key in want} == pytest.approx(want)


def lanes_of(outside: Outside) -> set[str]:
    """Return the lanes' names; the sweep may be over before the last of them is up."""
    return {f"{NAME}-lane-{number}" for number in range(outside.record.lanes)}


def test_the_nodes_port_tells_of_the_lanes_that_are_up(outside: Outside) -> None:
    lanes = {
        tag: value for (name, tag), value in outside.seen.items() if name == "vibesweep_lane_busy"
    }
    assert lanes
    assert set(lanes) <= lanes_of(outside)
    assert set(lanes.values()) <= {0.0, 1.0}


@pytest.mark.slow
def test_series_of_trials_that_have_ended_go(outside: Outside, metrics_port: str) -> None:
    assert any(name in TRIAL_GAUGES for name, _ in outside.seen)
    assert wait_until(
        lambda: not any(name in TRIAL_GAUGES for name, _ in read_metrics(metrics_port)),
        EXPORTED_WITHIN_S,
    )


@pytest.mark.skipif(
    PROMETHEUS is None,
    reason="there is no prometheus on this machine (Debian: apt-get install prometheus)",
)
def test_prometheus_answers_what_grafana_asks(outside: Outside) -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    expressions = [
        target["expr"].replace("$sweep", NAME) for panel in panels for target in panel["targets"]
    ]
    empty = [
        asked
        for asked in expressions
        if "vibesweep" in asked and not ask(outside, f"last_over_time(({asked})[1h:1s])")
    ]
    assert empty == []
    for asked in (
        expressions
    ):  # GPUs may be missing here, but the question must be one that Prometheus understands
        ask(outside, asked)
    (best,) = ask(
        outside, f'last_over_time({RAY_PREFIX}vibesweep_best_loss_val{{sweep="{NAME}"}}[1h])'
    )
    assert float(best["value"][1]) == pytest.approx(
        expected(outside.record)["vibesweep_best_loss_val", NAME]
    )


def ask(outside: Outside, expression: str) -> list[dict[str, Any]]:
    """Return Prometheus's answer; an expression that it does not understand is an HTTPError."""
    query = urllib.parse.urlencode({"query": expression})
    with urllib.request.urlopen(f"{outside.prometheus}/api/v1/query?{query}", timeout=10) as answer:
        found: list[dict[str, Any]] = json.loads(answer.read())["data"]["result"]
        return found


def test_actors_carry_the_sweeps_name(outside: Outside, dashboard: str) -> None:
    names = [actor.repr_name for actor in actors_of(dashboard)]
    assert names.count(f"LaneDispatcher({NAME})") == 1
    assert names.count(f"LaneTrial({NAME})") >= 1


def test_no_actor_of_the_sweep_outlives_it(outside: Outside, dashboard: str) -> None:
    """The cluster stays up here, and so does the process that ran the sweep."""

    def alive() -> list[str]:
        ours = (actor for actor in actors_of(dashboard) if f"({NAME})" in (actor.repr_name or ""))
        return [actor.repr_name for actor in ours if actor.state != "DEAD"]

    assert wait_until(lambda: not alive(), 60.0), alive()


def actors_of(dashboard: str) -> list[Any]:
    """All actors of the cluster, those that have ended too."""
    return list_actors(address=dashboard, detail=True, limit=1_000)


def test_tasks_carry_the_trials_and_the_lanes_names(outside: Outside, dashboard: str) -> None:
    names = {task.name for task in list_tasks(address=dashboard, detail=True, limit=10_000)}
    for trial in outside.record.trials:
        reports = [step for step in BUDGET.report_steps if step <= trial.step]
        assert {f"{NAME}_{trial.number} to step {step}" for step in reports} <= names
    assert {f"{lane} take" for lane in lanes_of(outside)} & names
    assert not any("busy_lanes" in name for name in names)


@contextmanager
def signed_in(dashboard: str) -> Iterator[str]:
    """Open the dashboard with the token that ``ray get-auth-token`` prints."""
    token = subprocess.run(
        [RAY, "get-auth-token"], capture_output=True, text=True, check=False
    ).stdout.strip()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            request = urllib.request.Request(
                dashboard + self.path, headers={"Authorization": f"Bearer {token}"}
            )
            try:
                answer = urllib.request.urlopen(request, timeout=30)
            except urllib.error.HTTPError as error:
                answer = error
            with answer, suppress(ConnectionError):  # the browser may have gone
                self.send_response(answer.status or 500)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
                self.end_headers()
                self.wfile.write(answer.read())

        def log_message(self, *args: object) -> None:
            """Keep the test's output to the test."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_each_lane_is_a_run_of_train(outside: Outside, dashboard: str) -> None:
    with (
        signed_in(dashboard) as url,
        urllib.request.urlopen(f"{url}/api/train/v2/runs/v1", timeout=60) as answer,
    ):
        runs = {run["name"]: run for run in json.loads(answer.read())["train_runs"]}
    assert lanes_of(outside) <= runs.keys()
    trained = [run for name, run in runs.items() if name in lanes_of(outside) and run["attempts"]]
    assert any(
        [worker["world_rank"] for worker in run["attempts"][0]["workers"]] == [0] for run in trained
    )


@pytest.mark.skipif(
    CHROMIUM is None,
    reason="there is no chromium on this machine (Debian: apt-get install chromium)",
)
def test_a_browser_finds_the_sweep_in_the_dashboard(
    outside: Outside, dashboard: str, tmp_path: Path
) -> None:
    # Its own page: the list of all actors shows ten at a time, and other tests' are in it
    trial = next(
        actor.actor_id for actor in actors_of(dashboard) if actor.repr_name == f"LaneTrial({NAME})"
    )
    with signed_in(dashboard) as url:
        assert wait_until(
            lambda: f"LaneTrial({NAME})" in page(f"{url}/#/actors/{trial}", tmp_path), 180.0
        )


def page(url: str, profile: Path) -> str:
    """Return a page after its scripts have run, as Chromium's DOM."""
    assert CHROMIUM is not None
    quietly = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={profile}",
    ]
    command = [CHROMIUM, *quietly, "--virtual-time-budget=20000", "--dump-dom", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout

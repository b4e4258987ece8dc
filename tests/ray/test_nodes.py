"""A second host with a Ray of its own, on whose file system one folder is another."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from optuna.distributions import FloatDistribution
from ray.util.state import list_actors
from rich.console import Console

from tests import tiny
from tests.waiting import wait_until
from vibesweep.cluster.nodes import check_hosts, live_nodes
from vibesweep.config import Budget, Sweep, TrialResources, TrialSettings
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.corpus.shards.manifest import MANIFEST_FILE
from vibesweep.errors import ResourceError
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.storage.folders import upload_folder
from vibesweep.sweep import ready
from vibesweep.sweep.record import SweepState, TrialState
from vibesweep.sweep.run import run_sweep

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("ray_cluster"),
    pytest.mark.skipif(
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0,
        reason="needs the right to make a mount namespace, as root has it",
    ),
]


@pytest.fixture(scope="module")
def hidden(ray_cluster: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Bring up a second host; in place of this folder of the driver's host it has an empty one."""
    folder = tmp_path_factory.mktemp("hidden")
    ray_program = Path(sys.executable).parent / "ray"
    address = ray.get_runtime_context().gcs_address
    start = f"exec '{ray_program}' start --block --num-cpus=1 --address={address}"
    command = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none '{folder}' && {start}"]
    # Where it writes down which cluster this host is a part of: for nobody else
    own = tmp_path_factory.mktemp("own")
    environment = os.environ | {"RAY_AUTH_MODE": "token", "RAY_TMPDIR": str(own)}
    with (tmp_path_factory.mktemp("said") / "said").open("w+") as said:
        second = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        try:
            assert wait_until(lambda: len(live_nodes()) == 2 or second.poll() is not None, 120.0)
            assert second.poll() is None, Path(said.name).read_text()
            yield folder
        finally:
            second.terminate()
            second.wait(60.0)
            assert wait_until(lambda: len(live_nodes()) == 1, 60.0), "the other tests count on one"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    folder = tmp_path_factory.mktemp("seen_by_both")
    return Sweep(
        {"learning_rate": FloatDistribution(1e-4, 1e-3)},
        corpus=str(tiny.write_shards(folder / "shards")),
        model=str(tiny.write_base(folder / "base")),
        settings=TrialSettings(method="full", batch_clips=6),
        budget=Budget(max_steps=4, grace_steps=2),
        resources=TrialResources(workers=3),
        trials=2,
    )


def test_a_folder_that_one_host_does_not_see_is_named(hidden: Path, tmp_path: Path) -> None:
    seen, away = StoragePath.of(tmp_path), StoragePath.of("s3://bucket/folder")
    (hidden / "corpus").mkdir()
    with pytest.raises(ResourceError, match=rf"this host does not see {hidden}\. .*s3://"):
        check_hosts(StoragePath.of(hidden), [])
    for work in (seen, away):
        with pytest.raises(ResourceError, match=f"does not see {hidden}/corpus"):
            check_hosts(work, [seen, StoragePath.of(hidden / "corpus")])
    check_hosts(seen, [seen, away])
    assert list(hidden.iterdir()) == [hidden / "corpus"]
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_there_is_refused_before_anything_is_made(hidden: Path, sweep: Sweep) -> None:
    with pytest.raises(ResourceError, match="this host does not see"):
        run_sweep(sweep, "refused", work=hidden / "work", console=Console(file=io.StringIO()))
    assert list((hidden / "work").iterdir()) == []


def test_shards_are_refused_where_a_host_does_not_see_what_they_are_made_of(hidden: Path) -> None:
    corpus = write_demo_corpus(hidden / "talks", recordings=2)
    encoder = ModelRef.parse("mel-small").family.clip_encoder("mel-small")
    with pytest.raises(ResourceError, match="this host does not see"):
        preprocess(corpus, hidden / "shards", encoder)
    assert not list((hidden / "shards").iterdir())


def test_a_lane_on_a_host_that_came_later_and_does_not_see_the_shards_leaves_the_others_to_go_on(
    hidden: Path, sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = shutil.copytree(sweep.corpus, hidden / "some_shards")
    # As if the second host were not up yet
    monkeypatch.setattr(ready, "check_hosts", lambda work, others: None)
    said = io.StringIO()
    three = replace(
        sweep, corpus=str(shards), resources=TrialResources(workers=1), lanes=3, trials=6
    )
    record = run_sweep(three, "late", work=tmp_path, console=Console(file=said, width=1_000)).read()
    assert record.state == SweepState.DONE
    assert {trial.state for trial in record.trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert f"this host does not see {shards}" in said.getvalue()
    assert said.getvalue().count("a lane is given up, the others go on") == 1


@pytest.fixture(scope="module")
def stored(sweep: Sweep, bucket: str) -> Sweep:
    """Put the sweep's shards into the store."""
    shards = bucket.format("shards")
    upload_folder(Path(sweep.corpus), StoragePath.of(shards), MANIFEST_FILE)
    return replace(sweep, corpus=shards)


def test_hosts_that_share_a_store_alone_train_together(
    hidden: Path, stored: Sweep, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tune's and Train's own files lie where the second host does not see them."""
    monkeypatch.setattr(tempfile, "tempdir", str(hidden))
    folder = run_sweep(
        stored, "shared", work=bucket.format("work"), console=Console(file=io.StringIO())
    )
    record, _, checkpoint = folder.best_checkpoint()
    assert record.state == SweepState.DONE
    assert (record.lanes, len(record.trials)) == (1, 2)
    assert checkpoint.files()
    assert not [path for path in hidden.iterdir() if path.name.startswith("vibesweep-")], (
        "the driver's copy is gone"
    )


def test_a_lane_that_one_host_has_room_for_is_on_one(
    hidden: Path, stored: Sweep, bucket: str
) -> None:
    before = where_workers_were().keys()
    pair = replace(stored, resources=TrialResources(workers=2), lanes=1, trials=1)
    run_sweep(pair, "packed", work=bucket.format("work"), console=Console(file=io.StringIO()))
    hosts = [host for worker, host in where_workers_were().items() if worker not in before]
    assert len(hosts) == 2
    assert len(set(hosts)) == 1


def where_workers_were() -> dict[str, str | None]:
    """Return the host of each worker that lanes ever had."""
    address = f"http://{ray.init(ignore_reinit_error=True).dashboard_url}"
    workers = list_actors(
        address=address, filters=[("class_name", "=", "RayTrainWorker")], detail=True, limit=1_000
    )
    return {worker.actor_id: worker.node_id for worker in workers}

"""Clips streamed by Ray Data: the same steps and tensors as from memory, in little memory.

This holds on any number of workers and from any step.
"""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
import torch

from tests import corpora, tiny
from vibesweep.config import Report, TrialSettings
from vibesweep.corpus.shards.manifest import read_clips
from vibesweep.models.clips import EncodedClip
from vibesweep.models.mel.model import MelModel
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.training.data.feed import MemoryFeed, Step
from vibesweep.training.data.index import Index, read_index
from vibesweep.training.data.step_plan import StepPlan
from vibesweep.training.data.stream import StreamFeed
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

CLIPS = 250
STORE_BYTES = 80_000_000  # Ray refuses less than 75 MB
STORE_EPOCHS = 3


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stream") / "shards"
    return corpora.write_many_shards(folder, CLIPS, group_rows=2)  # makes several windows


@pytest.fixture(scope="module")
def base() -> MelModel:
    return tiny.model()


@pytest.fixture(scope="module")
def index(shards: Path, base: MelModel) -> Index:
    return read_index(shards, base)


@pytest.fixture(scope="module")
def clips(shards: Path, base: MelModel) -> list[EncodedClip]:
    return [base.encode(clip) for clip in read_clips(shards, "train")]


@pytest.fixture(scope="module")
def plan(index: Index) -> StepPlan:
    found = StepPlan(index, 0, 3)
    assert len(list(found.window_numbers(0, found.epoch_steps))) == 2
    return found


def stream(shards: Path, base: MelModel, index: Index, rank: int = 0, size: int = 1) -> StreamFeed:
    return StreamFeed(index, StoragePath.of(shards), base.encoder(), rank, size)


def assert_same(streamed: list[Step], kept: list[Step]) -> None:
    for step, other in zip(streamed, kept, strict=True):
        assert (step.number, step.epoch) == (other.number, other.epoch)
        assert step.normalizer == other.normalizer
        assert np.array_equal(step.clips, other.clips)
        for clip, twin in zip(step.own_clips, other.own_clips, strict=True):
            assert torch.equal(clip.latents, twin.latents)
            assert dataclasses.replace(clip, latents=twin.latents) == twin


@pytest.mark.usefixtures("ray_cluster")
class TestStream:
    """On two cores."""

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_each_worker_gets_what_it_would_from_memory(
        self,
        shards: Path,
        base: MelModel,
        index: Index,
        clips: list[EncodedClip],
        plan: StepPlan,
        size: int,
    ) -> None:
        past = plan.epoch_steps + 5
        counted = []
        for rank in range(size):
            streamed = list(stream(shards, base, index, rank, size).steps(plan, 0, past))
            kept = list(MemoryFeed(index, clips, rank, size).steps(plan, 0, past))
            assert_same(streamed, kept)
            first_epoch = [step for step in streamed if step.epoch == 0]
            for step in first_epoch:
                counted += [clip.id for clip in step.own_clips]
        assert sorted(counted) == sorted(index.ids), "each clip once an epoch, over all workers"

    @pytest.mark.parametrize("first", [1, 20, 70])
    def test_it_begins_in_the_middle_of_an_epoch(
        self,
        shards: Path,
        base: MelModel,
        index: Index,
        clips: list[EncodedClip],
        plan: StepPlan,
        first: int,
    ) -> None:
        past = 2 * plan.epoch_steps + 3
        streamed = list(stream(shards, base, index).steps(plan, first, past))
        assert_same(streamed, list(MemoryFeed(index, clips).steps(plan, first, past)))

    def test_it_flows_while_others_hold_every_cpu(
        self, shards: Path, base: MelModel, index: Index, plan: StepPlan
    ) -> None:
        holder: Any = ray.remote(num_cpus=2)(Holder).remote()
        ray.get(holder.here.remote())
        assert ray.available_resources().get("CPU", 0) == 0
        assert len(list(stream(shards, base, index).steps(plan, 0, 4))) == 4
        ray.kill(holder)

    def test_a_feed_that_is_closed_early_ends_its_tasks(
        self, shards: Path, base: MelModel, index: Index, plan: StepPlan
    ) -> None:
        steps = stream(shards, base, index).steps(plan, 0, 100_000)
        next(steps)
        steps.close()
        assert len(list(stream(shards, base, index).steps(plan, 0, 4))) == 4

    def test_a_trial_learns_the_same_from_a_stream_as_from_memory(
        self, shards: Path, tmp_path: Path
    ) -> None:
        model = str(tiny.write_base(tmp_path / "base"))
        settings = TrialSettings(method="lora", learning_rate=3e-3, lora_rank=4, batch_clips=4)
        reports = []
        for max_clip_bytes in (math.inf, 0.0):
            context = WorkerContext.open(ModelRef.parse(model), shards, World(), max_clip_bytes)
            run = TrialRun(context, settings, 3)
            reports.append([run.advance(2), run.advance(5)])  # beyond its budget, too
            run.close()
            assert isinstance(context.feed, StreamFeed) == (not max_clip_bytes)
        kept, streamed = [[losses(report) for report in both] for both in reports]
        assert streamed == kept


def losses(report: Report) -> list[float]:
    return [record.loss for record in report.curve] + [report.loss_val]


class Holder:
    """Holds the CPUs that it was given."""

    def here(self) -> bool:
        return True


@pytest.mark.slow
def test_shards_several_times_larger_than_the_object_store(tmp_path: Path) -> None:
    # In a process of its own, with a Ray of its own
    command = [sys.executable, "-m", "tests.ray.test_stream", str(tmp_path / "shards")]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=300,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    found = json.loads(ended.stdout.splitlines()[-1])
    assert found["shards_bytes"] > 3 * STORE_BYTES
    assert found["streamed_bytes"] > STORE_BYTES
    assert found["clips"] == found["distinct_clips"] * STORE_EPOCHS
    assert not found["spilled"]
    assert found["most_in_store_bytes"] < 0.75 * STORE_BYTES, (
        "streams take a quarter, tasks in flight as much again"
    )
    assert found["grown_bytes"] < found["streamed_bytes"]


def stream_through_a_small_store(shards: Path) -> dict[str, object]:
    """Stream some epochs of large shards; return what was seen and what was held at most."""
    import psutil

    base = tiny.model(dataclasses.replace(tiny.SHAPE, latent_size=64))
    corpora.write_many_shards(shards, 400, group_rows=5, frames=5_000)
    ray.init(
        address="local",
        num_cpus=2,
        object_store_memory=STORE_BYTES,
        include_dashboard=False,
        log_to_driver=False,
    )
    index = read_index(shards, tiny.model())
    plan = StepPlan(index, 0, 4)
    process = psutil.Process()
    rss_before = process.memory_info().rss
    seen: list[str] = []
    streamed_bytes = most_held = 0
    for step in stream(shards, base, index).steps(plan, 0, STORE_EPOCHS * plan.epoch_steps):
        seen += [clip.id for clip in step.own_clips]
        streamed_bytes += sum(clip.latents.nbytes for clip in step.own_clips)
        if step.number % 20 == 0:
            held, _ = _held_and_spilled()
            most_held = max(most_held, held)
    return {
        "shards_bytes": sum(path.stat().st_size for path in shards.glob("train-*.parquet")),
        "streamed_bytes": streamed_bytes,
        "clips": len(seen),
        "distinct_clips": len(set(seen)),
        "spilled": bool(_held_and_spilled()[1]),
        "most_in_store_bytes": most_held,
        "grown_bytes": process.memory_info().rss - rss_before,
    }


def _held_and_spilled() -> tuple[int, int]:
    """Return the bytes in the object store now, and those ever spilled to disk."""
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    stats = get_memory_info_reply(
        get_state_from_address(ray.get_runtime_context().gcs_address)
    ).store_stats
    return stats.object_store_bytes_used, stats.spilled_bytes_total


if __name__ == "__main__":
    print(json.dumps(stream_through_a_small_store(Path(sys.argv[1]))))
    ray.shutdown()

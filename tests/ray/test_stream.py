"""Clips streamed by Ray Data: the same steps and tensors as from memory, on any number of workers, from any step, in little memory."""

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
from vibesweep.config import TrialSettings
from vibesweep.corpus.shards.manifest import read_rows
from vibesweep.models.mel.model import MelModel
from vibesweep.storage import StoragePath
from vibesweep.training.data.batches import StepPlan
from vibesweep.training.data.feed import MemoryFeed, Step
from vibesweep.training.data.index import Index, read_index
from vibesweep.training.data.stream import StreamFeed
from vibesweep.training.loop import TrialRun
from vibesweep.training.worker_context import WorkerContext, World

TOKENS = 200
CLIPS = 250
STORE_BYTES = 80_000_000  # Ray refuses less than 75 MB
STORE_EPOCHS = 3


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Row groups of two clips: several windows."""
    return corpora.write_many_shards(
        tmp_path_factory.mktemp("stream") / "shards", CLIPS, group_rows=2
    )


@pytest.fixture(scope="module")
def base() -> MelModel:
    return tiny.model()


@pytest.fixture(scope="module")
def index(shards: Path) -> Index:
    return read_index(shards, MelModel)


@pytest.fixture(scope="module")
def plan(index: Index) -> StepPlan:
    found = StepPlan(index, 0, 3)
    assert len(list(found.places(0, found.epoch_steps))) == 2
    return found


def stream(shards: Path, base: MelModel, index: Index, rank: int = 0, size: int = 1) -> StreamFeed:
    return StreamFeed(index, StoragePath.of(shards), base.encoder(), rank, size)


def assert_same(streamed: list[Step], kept: list[Step]) -> None:
    for one, other in zip(streamed, kept, strict=True):
        assert (one.number, one.epoch, one.sizes, one.counts) == (
            other.number,
            other.epoch,
            other.sizes,
            other.counts,
        )
        assert np.array_equal(one.clips, other.clips)
        for part, same in zip(one.micro_batches, other.micro_batches, strict=True):
            for example, twin in zip(part, same, strict=True):
                assert torch.equal(example.latents, twin.latents)
                named = dataclasses.replace(example, latents=twin.latents)
                assert named == twin


@pytest.mark.usefixtures("ray_cluster")
class TestStream:
    """On two cores."""

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_each_worker_gets_what_it_would_from_memory(
        self, shards: Path, base: MelModel, index: Index, plan: StepPlan, size: int
    ) -> None:
        clips = [base.encode(row) for row in read_rows(shards, "train")]
        past, counted = plan.epoch_steps + 5, []
        for rank in range(size):
            streamed = list(stream(shards, base, index, rank, size).steps(plan, 0, past, TOKENS))
            assert_same(
                streamed, list(MemoryFeed(index, clips, rank, size).steps(plan, 0, past, TOKENS))
            )
            counted += [
                example.id
                for step in streamed
                if step.counts and not step.epoch
                for part in step.micro_batches
                for example in part
            ]
        assert sorted(counted) == sorted(index.ids), "each clip once an epoch, over all workers"

    @pytest.mark.parametrize("first", [1, 20, 70])
    def test_it_begins_in_the_middle_of_an_epoch(
        self, shards: Path, base: MelModel, index: Index, plan: StepPlan, first: int
    ) -> None:
        clips = [base.encode(row) for row in read_rows(shards, "train")]
        past = 2 * plan.epoch_steps + 3
        streamed = list(stream(shards, base, index).steps(plan, first, past, TOKENS))
        assert_same(streamed, list(MemoryFeed(index, clips).steps(plan, first, past, TOKENS)))

    def test_it_flows_while_others_hold_every_cpu(
        self, shards: Path, base: MelModel, index: Index, plan: StepPlan
    ) -> None:
        holder: Any = ray.remote(num_cpus=2)(Holder).remote()
        ray.get(holder.here.remote())
        assert ray.available_resources().get("CPU", 0) == 0
        assert len(list(stream(shards, base, index).steps(plan, 0, 4, TOKENS))) == 4
        ray.kill(holder)

    def test_a_feed_that_is_left_early_lets_go_of_its_tasks(
        self, shards: Path, base: MelModel, index: Index, plan: StepPlan
    ) -> None:
        steps = stream(shards, base, index).steps(plan, 0, 100_000, TOKENS)
        next(steps)
        steps.close()
        assert len(list(stream(shards, base, index).steps(plan, 0, 4, TOKENS))) == 4

    def test_a_trial_learns_the_same_from_a_stream_as_from_memory(
        self, shards: Path, tmp_path: Path
    ) -> None:
        model = str(tiny.write_base(tmp_path / "base"))
        settings = TrialSettings(method="lora", learning_rate=3e-3, lora_rank=4, batch_clips=4)
        reports = []
        for clips_bytes in (math.inf, 0.0):
            context = WorkerContext.open(model, shards, World(), clips_bytes)
            run = TrialRun(context, settings, 3)
            reports.append([run.advance(2), run.advance(5)])  # beyond its budget, too
            run.close()
            assert isinstance(context.feed, StreamFeed) == (not clips_bytes)
        kept, streamed = (
            [[record.loss for record in one.curve] + [one.loss_val] for one in both]
            for both in reports
        )
        assert streamed == kept


class Holder:
    """Holds what it was given."""

    def here(self) -> bool:
        return True


@pytest.mark.slow
def test_shards_several_times_larger_than_the_object_store(tmp_path: Path) -> None:
    """In a process and a Ray of its own."""
    command = [sys.executable, "-m", "tests.ray.test_stream", str(tmp_path / "shards")]
    told = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        timeout=300,
        check=False,
    )
    assert told.returncode == 0, told.stderr[-2_000:]
    found = json.loads(told.stdout.splitlines()[-1])
    assert found["shards_bytes"] > 3 * STORE_BYTES
    assert found["streamed_bytes"] > STORE_BYTES
    assert found["clips"] == found["distinct_clips"] * STORE_EPOCHS
    assert not found["spilled"]
    assert found["most_in_store_bytes"] < 0.75 * STORE_BYTES, (
        "streams take a quarter, tasks in flight as much again"
    )
    assert found["grown_bytes"] < found["streamed_bytes"]


def stream_through_a_small_store(shards: Path) -> dict[str, object]:
    """Some epochs of large shards; what was seen, and what was held at most."""
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
    index = read_index(shards, MelModel)
    plan, process = StepPlan(index, 0, 4), psutil.Process()
    before, seen, streamed, held = process.memory_info().rss, [], 0, 0
    for step in stream(shards, base, index).steps(plan, 0, STORE_EPOCHS * plan.epoch_steps, TOKENS):
        for part in step.micro_batches:
            seen += [example.id for example in part]
            streamed += sum(example.latents.nbytes for example in part)
        held = max(held, _held_and_spilled()[0]) if step.number % 20 == 0 else held
    return {
        "shards_bytes": sum(path.stat().st_size for path in shards.glob("train-*.parquet")),
        "streamed_bytes": streamed,
        "clips": len(seen),
        "distinct_clips": len(set(seen)),
        "spilled": bool(_held_and_spilled()[1]),
        "most_in_store_bytes": held,
        "grown_bytes": process.memory_info().rss - before,
    }


def _held_and_spilled() -> tuple[int, int]:
    """Bytes in the object store now, and bytes that ever went to disk for want of room."""
    from ray._private.internal_api import get_memory_info_reply, get_state_from_address

    stats = get_memory_info_reply(
        get_state_from_address(ray.get_runtime_context().gcs_address)
    ).store_stats
    return stats.object_store_bytes_used, stats.spilled_bytes_total


if __name__ == "__main__":
    print(json.dumps(stream_through_a_small_store(Path(sys.argv[1]))))
    ray.shutdown()

"""Clips that do not fit into memory, streamed by Ray Data in the order of the plan.

::

    window of the plan ──▶ task: read its row groups, keep and encode this worker's clips ──▶ a row a step ──▶ object store ──▶ loop

Each worker runs an execution of its own over the windows of its whole trial, so an epoch's border is no border to it. Two tasks work
ahead; what they may keep in the object store is bounded, and beyond that they wait. docs/design/feed.md says why it is not
``streaming_split``.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import ray
import ray.data
import torch
from ray.data import ExecutionResources

from vibesweep.corpus.shards.schema import Clip
from vibesweep.models.family import EncodedClip
from vibesweep.storage import StoragePath
from vibesweep.training.data.batches import StepPlan, Window
from vibesweep.training.data.feed import Share, Steps, cut, shares
from vibesweep.training.data.index import Index, read_clips

Encode = Callable[[Clip], EncodedClip]

TASKS_AHEAD = 2
"""One window is handed over while the next is read."""
BLOCK_BYTES = 500_000
"""Steps that travel together: few enough to come early, enough to be worth a block."""
MOST_TASKS = 256
"""Ray Data takes 1.6 ms to set a task down before any begins: in a long trial a task reads several windows, one after the other."""
STORE_SHARE = 0.25
"""Of the object store, for the streams of all workers together; the rest is other work's."""
STREAM_BYTES = 128_000_000
"""What one stream keeps in the object store at most: minutes of training."""
PREFETCHED_BLOCKS = 2


class StreamFeed:
    """Reads shards as a trial goes on."""

    def __init__(
        self, index: Index, shards: StoragePath, encode: Encode, rank: int = 0, size: int = 1
    ) -> None:
        """Feed one of ``size`` workers.

        Args:
            index: of the clips.
            shards: the folder they are read from, the same for all hosts.
            encode: what makes a row an example. It is sent to Ray once, so it should hold no more than it needs.
            rank: of the worker.
            size: how many workers there are.
        """
        self.index = index
        self._shards, self._rank, self._size = shards, rank, size
        self._lean, self._encode = ray.put(index.lean()), ray.put(encode)

    def steps(self, plan: StepPlan, first_step: int, past_step: int, positions: int) -> Steps:
        """Yield the steps."""
        if first_step >= past_step:
            return
        with closing(self._examples(plan, first_step, past_step)) as streamed:
            for part, (number, examples) in zip(
                self._shares(plan, first_step, past_step), streamed, strict=True
            ):
                assert number == part.step, f"step {number} came in place of {part.step}"
                yield cut(part, examples, plan, positions)

    def _shares(self, plan: StepPlan, first_step: int, past_step: int) -> Iterator[Share]:
        return shares(plan, first_step, past_step, self._rank, self._size)

    def _examples(
        self, plan: StepPlan, first_step: int, past_step: int
    ) -> Generator[tuple[int, list[EncodedClip]], None, None]:
        """Number and examples of each of this worker's shares."""
        recipe = partial(
            StepPlan, seed=plan.seed, batch_clips=plan.batch_clips, batch_seconds=plan.batch_seconds
        )
        worker, span = (self._rank, self._size), (first_step, past_step)
        reader = _Reader(self._lean, self._encode, self._shards, recipe, span, worker)
        windows = [
            {"epoch": epoch, "window": window}
            for epoch, window in plan.places(first_step, past_step)
        ]
        blocks = _stream(windows, reader)
        for block in blocks.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=PREFETCHED_BLOCKS
        ):
            for number, examples in zip(block["step"].to_pylist(), block["examples"], strict=True):
                yield (
                    number,
                    pickle.loads(examples.as_buffer()),
                )  # of our own task, through Ray's memory: no file is unpickled


def _stream(windows: list[dict[str, int]], reader: _Reader) -> Any:
    """The dataset: one task for each window, in order, and never more of it in memory than is allowed."""
    logging.getLogger("ray.data").setLevel(
        logging.ERROR
    )  # each trial would tell its execution plan
    source = ray.data.from_items(windows, override_num_blocks=min(len(windows), MOST_TASKS))
    context = source.context
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK_BYTES
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources.for_limits(
        object_store_memory=_store_bytes()
    )
    # No CPU of Ray's accounts: lanes hold them all, and the tasks would wait for ever
    return source.map_batches(
        reader.read, batch_size=1, num_cpus=0, concurrency=min(TASKS_AHEAD, len(windows))
    )


def _store_bytes() -> int:
    """A stream's part of the object store, as if each CPU of the cluster had a worker with a stream."""
    cluster = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return int(
        min(
            STREAM_BYTES,
            STORE_SHARE * cluster["object_store_memory"] / max(cluster.get("CPU", 1), 1),
        )
    )


@dataclass(frozen=True)
class _Reader:
    """Runs in Ray Data's tasks.

    Attributes:
        index: lean.
        encode: makes a row an example.
        shards: the folder.
        recipe: makes the plan over the index.
        span: the first step of the trial, and the one past its last.
        worker: its rank, and how many there are.
    """

    index: ray.ObjectRef[Index]
    encode: ray.ObjectRef[Encode]
    shards: StoragePath
    recipe: Callable[[Index], StepPlan]
    span: tuple[int, int]
    worker: tuple[int, int]

    def read(self, batch: Any) -> Iterator[Any]:
        """Read a window, and yield the worker's share of each of its steps."""
        torch.set_num_threads(1)  # encoding is light work beside training, which has the cores
        index, encode = ray.get([self.index, self.encode])
        plan = self.recipe(index)
        window = plan.window(int(batch["epoch"][0]), int(batch["window"][0]))
        wanted = list(self._wanted(plan, window))
        mine = np.unique(np.concatenate([part.mine for part in wanted]))
        examples = {
            clip: encode(row) for clip, row in read_clips(index, self.shards, window.groups, mine)
        }
        for part in wanted:
            packed = pickle.dumps([examples[clip] for clip in part.mine.tolist()], protocol=5)
            yield {"step": np.array([part.step]), "examples": np.array([packed], dtype=object)}

    def _wanted(self, plan: StepPlan, window: Window) -> Iterator[Share]:
        first, past = (
            max(self.span[0], window.first_step),
            min(self.span[1], window.first_step + len(window.steps)),
        )
        return shares(plan, first, past, *self.worker)

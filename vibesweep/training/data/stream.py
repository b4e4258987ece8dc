"""Clips that do not fit into memory, streamed by Ray Data in the order of the plan.

::

    window of the plan ──▶ task: read its row groups, keep and encode this worker's clips
                       ──▶ one row for each step ──▶ object store ──▶ training loop

Each worker runs a Ray Data execution of its own over the windows of its whole trial, so the stream
does not stop between epochs. Two tasks work ahead. What they may keep in the object store is
bounded, and beyond that they wait. docs/design/feed.md says why it is not ``streaming_split``.
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

from vibesweep.models.clips import EncodedClip
from vibesweep.models.speech_model import Encode
from vibesweep.storage import StoragePath
from vibesweep.training.data.feed import Steps, StepShare, make_step, step_shares
from vibesweep.training.data.index import Index, read_wanted_clips
from vibesweep.training.data.step_plan import StepPlan, Window

TASKS_AHEAD = 2
"""One window is handed over while the next one is read."""
BLOCK_BYTES = 500_000
"""Size of the blocks that steps travel in: small enough to come early, large enough to be worth a
block."""
MOST_TASKS = 256
"""Ray Data takes 1.6 ms to set up each task before any begins. In a long trial a task therefore
reads several windows in turn."""
STORE_SHARE = 0.25
"""Share of the object store for the streams of all workers together; the rest is for other work."""
STREAM_BYTES = 128_000_000
"""What one stream keeps in the object store at most: minutes of training."""
PREFETCHED_BLOCKS = 2


class StreamFeed:
    """A feed that reads shards as a trial goes on."""

    def __init__(
        self, index: Index, shards: StoragePath, encode: Encode, rank: int = 0, size: int = 1
    ) -> None:
        """Feed one of ``size`` workers.

        Args:
            index: index of the clips.
            shards: the folder they are read from, the same for all hosts.
            encode: encodes a row. It is sent to Ray once, so it should hold no more than it needs.
            rank: the worker's rank.
            size: number of workers.
        """
        self.index = index
        self._shards = shards
        self._rank = rank
        self._size = size
        self._sent_index = ray.put(index.without_names())
        self._sent_encode = ray.put(encode)

    def steps(self, plan: StepPlan, first_step: int, past_step: int) -> Steps:
        """Yield the steps."""
        if first_step >= past_step:
            return
        shares = step_shares(plan, first_step, past_step, self._rank, self._size)
        with closing(self._stream_clips(plan, first_step, past_step)) as streamed:
            for share, (number, own_clips) in zip(shares, streamed, strict=True):
                assert number == share.step, f"step {number} came in place of {share.step}"
                yield make_step(share, own_clips, plan)

    def _stream_clips(
        self, plan: StepPlan, first_step: int, past_step: int
    ) -> Generator[tuple[int, list[EncodedClip]], None, None]:
        """Yield (step number, encoded clips) of each of this worker's shares."""
        make_plan = partial(
            StepPlan,
            seed=plan.seed,
            batch_clips=plan.batch_clips,
            batch_seconds=plan.batch_seconds,
        )
        reader = _WindowReader(
            index=self._sent_index,
            encode=self._sent_encode,
            shards=self._shards,
            make_plan=make_plan,
            first_step=first_step,
            past_step=past_step,
            rank=self._rank,
            size=self._size,
        )
        dataset = _dataset(list(plan.window_numbers(first_step, past_step)), reader)
        blocks = dataset.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=PREFETCHED_BLOCKS
        )
        for block in blocks:
            numbers = block["step"].to_pylist()
            for number, pickled in zip(numbers, block["clips"], strict=True):
                # Pickled by our own task and passed through Ray's memory: no file is unpickled
                yield number, pickle.loads(pickled.as_buffer())  # nosec B301


@dataclass(frozen=True)
class _WindowReader:
    """Reads windows in Ray Data's tasks.

    Attributes:
        index: index without names.
        encode: encodes a row.
        shards: the folder of shards.
        make_plan: makes the step plan over the index.
        first_step: first step of the trial that is wanted.
        past_step: one past the last step that is wanted.
        rank: the worker's rank.
        size: number of workers.
    """

    index: ray.ObjectRef[Index]
    encode: ray.ObjectRef[Encode]
    shards: StoragePath
    make_plan: Callable[[Index], StepPlan]
    first_step: int
    past_step: int
    rank: int
    size: int

    def read(self, batch: Any) -> Iterator[Any]:
        """Read a window and yield the worker's share of each of its steps, one row each."""
        torch.set_num_threads(1)  # encoding is light work; training needs the cores
        index, encode = ray.get([self.index, self.encode])
        plan = self.make_plan(index)
        epoch = int(batch["epoch"][0])
        window_number = int(batch["window"][0])
        window = plan.window(epoch, window_number)
        shares = list(self._wanted_shares(plan, window))
        own_clips_by_step = [share.own_clips for share in shares]
        wanted = np.unique(np.concatenate(own_clips_by_step))
        rows = read_wanted_clips(index, self.shards, window.groups, wanted)
        encoded_clips = {number: encode(row) for number, row in rows}
        for share in shares:
            own_clips = [encoded_clips[number] for number in share.own_clips.tolist()]
            pickled = pickle.dumps(own_clips, protocol=5)
            step_column = np.array([share.step])
            clips_column = np.array([pickled], dtype=object)
            yield {"step": step_column, "clips": clips_column}

    def _wanted_shares(self, plan: StepPlan, window: Window) -> Iterator[StepShare]:
        """Yield the worker's shares of those steps of a window that are wanted."""
        first_step = max(self.first_step, window.first_step)
        window_end = window.first_step + len(window.steps)
        past_step = min(self.past_step, window_end)
        return step_shares(plan, first_step, past_step, self.rank, self.size)


def _dataset(window_numbers: list[tuple[int, int]], reader: _WindowReader) -> Any:
    """Make the dataset: windows are read in order, and only so far ahead as memory allows."""
    # Each trial would log its execution plan
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    windows = [{"epoch": epoch, "window": number} for epoch, number in window_numbers]
    task_count = min(len(windows), MOST_TASKS)
    source = ray.data.from_items(windows, override_num_blocks=task_count)
    context = source.context
    context.enable_progress_bars = False
    context.target_max_block_size = BLOCK_BYTES
    context.execution_options.preserve_order = True
    context.execution_options.resource_limits = ExecutionResources.for_limits(
        object_store_memory=_store_bytes()
    )
    # The tasks ask Ray for no CPU: lanes hold them all, and the tasks would wait forever
    return source.map_batches(
        reader.read, batch_size=1, num_cpus=0, concurrency=min(TASKS_AHEAD, len(windows))
    )


def _store_bytes() -> int:
    """Compute a stream's part of the object store, as if each CPU of the cluster had a stream."""
    cluster = ray.cluster_resources()  # type: ignore[no-untyped-call]
    streams = max(cluster.get("CPU", 1), 1)
    store_bytes = STORE_SHARE * cluster["object_store_memory"] / streams
    return int(min(STREAM_BYTES, store_bytes))

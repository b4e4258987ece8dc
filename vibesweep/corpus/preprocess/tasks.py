"""The work of preprocessing on a Ray cluster.

Light encoders run in the task that decodes a part: plain Ray tasks, each of which writes a file and
returns a summary. An encoder that wants a GPU holds weights, so Ray Data streams the decoded parts
to a pool of actors, and bounds how many wait in memory.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import RayTaskError

from vibesweep.corpus.clip_encoder import ClipEncoder, SoundEncoder
from vibesweep.corpus.preprocess.pack import ShardSummary, write_shard
from vibesweep.corpus.preprocess.parts import (
    DecodedPart,
    PartSummary,
    decode_part,
    encode_sounds,
    write_part,
)
from vibesweep.corpus.preprocess.plan import Part, ShardPlan
from vibesweep.errors import VibesweepError
from vibesweep.storage import StoragePath
from vibesweep.storage.os_errors import storage_error

Item = TypeVar("Item")
Result = TypeVar("Result")
Row = dict[str, Any]


@dataclass(frozen=True)
class PartJob:
    """What tasks are told besides the part.

    Attributes:
        encoder: of the model family.
        max_duration_s: longer recordings are cut.
        max_edge_silence_s: longer silence at a clip's ends is cut off.
        parts: the folder for parts.
        sidecar: the family's own file beside the shards, where it has one.
        gpus_may_come: whether an encoder waits for a GPU that the autoscaler brings up.
    """

    encoder: ClipEncoder
    max_duration_s: float
    max_edge_silence_s: float
    parts: StoragePath
    sidecar: StoragePath | None
    gpus_may_come: bool

    def decode(self, part: Part) -> DecodedPart:
        """Decode a part by the job's settings."""
        return decode_part(part, self.encoder, self.max_duration_s, self.max_edge_silence_s)


def encode_parts(parts: Sequence[Part], job: PartJob) -> Iterator[PartSummary]:
    """Encode parts and yield a summary of each as it is done.

    Raises:
        VibesweepError: whatever the first task that failed met.
    """
    if job.encoder.wants_gpu:
        return _encode_on_actors(parts, job)
    return _run_tasks(_encode_part, parts, job)


def remark_on_gpus(
    encoder: ClipEncoder, cluster: Mapping[str, float], *, gpus_may_come: bool
) -> str | None:
    """Say that an encoder that wants a GPU waits for one, or goes without; nothing where one is.

    Args:
        encoder: of the model family.
        cluster: how much of what there is, as ``ray.cluster_resources`` has it.
        gpus_may_come: whether the autoscaler may bring up a GPU.
    """
    if not encoder.wants_gpu or cluster.get("GPU", 0) >= 1:
        return None
    if gpus_may_come:
        return f"no GPU is up yet: the encoders of {encoder.name} wait for one of the autoscaler's"
    return (
        f"no GPU: the encoders of {encoder.name} run on CPUs, which takes far longer;"
        " with many hours of speech, preprocess on a host with a GPU"
    )


def pack_shards(
    plans: Sequence[ShardPlan], folder: StoragePath, encoder: ClipEncoder
) -> list[ShardSummary]:
    """Write the shards; summaries come in the order of the plans."""
    found = {summary.name: summary for summary in _run_tasks(write_shard, plans, folder, encoder)}
    return [found[plan.name] for plan in plans]


def _run_tasks(
    work: Callable[..., Result], items: Sequence[Item], *shared: Any
) -> Iterator[Result]:
    """Run a Ray task for each item and yield the results as they come.

    Args:
        work: takes an item, then what is shared; Ray's dashboard shows its name.
        items: one for each task.
        shared: sent once.
    """
    references = [ray.put(value) for value in shared]
    task = ray.remote(work).options(name=work.__name__.strip("_"))
    waiting = [task.remote(item, *references) for item in items]
    try:
        while waiting:
            done, waiting = ray.wait(waiting)
            yield _result(done[0])
    finally:
        for reference in waiting:
            ray.cancel(reference)


def _result(reference: Any) -> Any:
    """Get a task's result, or raise what the user can mend as it was raised."""
    try:
        return ray.get(reference)
    except RayTaskError as error:
        if isinstance(error.cause, VibesweepError):
            raise error.cause from error
        told = storage_error(error)
        if told is None:
            raise
        raise told from error


def _encode_part(part: Part, job: PartJob) -> PartSummary:
    decoded = job.decode(part)
    rows = encode_sounds(decoded, job.encoder.open_sound("cpu"), job.encoder.columns)
    return write_part(decoded, rows, job.encoder.columns, job.parts)


def _encode_on_actors(parts: Sequence[Part], job: PartJob) -> Iterator[PartSummary]:
    """Decode in tasks, encode in actors with a GPU each, or with a CPU where there are no GPUs."""
    if not parts:
        return
    from ray import data  # with pandas, which tasks that encode for `mel` need not wait for

    cluster = ray.cluster_resources()
    gpus = int(cluster.get("GPU", 0)) or int(job.gpus_may_come)
    most_actors = min(len(parts), gpus or max(1, int(cluster["CPU"])))
    pool = data.ActorPoolStrategy(min_size=1, max_size=most_actors)
    resources: dict[str, Any] = {"num_cpus": 0, "num_gpus": 1} if gpus else {"num_cpus": 1}
    actor: Any = _SoundActor  # Ray Data takes classes, and is typed for functions

    def decode(row: Row) -> Row:
        return _caught(lambda: job.decode(row["part"]))

    with _quiet_ray_data():
        rows = [{"part": part} for part in parts]
        source = data.from_items(rows, override_num_blocks=len(rows))
        decoded = source.map(decode, num_cpus=1)
        encoded = decoded.map(actor, fn_constructor_args=(job,), compute=pool, **resources)
        for row in encoded.iter_rows():
            yield _outcome(row)


class _SoundActor:
    """Holds the weights of a family's encoder."""

    def __init__(self, job: PartJob) -> None:
        self._job = job
        self._opened = _caught(self._open)

    def __call__(self, row: Row) -> Row:
        """Encode and write a decoded part; hand an error on."""
        return _caught(lambda: self._write(_outcome(row)))

    def _open(self) -> SoundEncoder:
        encoder = self._job.encoder.open_sound("cuda" if ray.get_gpu_ids() else "cpu")
        sidecar = self._job.sidecar
        if sidecar is not None and not sidecar.is_file():
            sidecar.write_bytes(encoder.sidecar())
        return encoder

    def _write(self, decoded: Any) -> PartSummary:
        columns = self._job.encoder.columns
        rows = encode_sounds(decoded, _outcome(self._opened), columns)
        return write_part(decoded, rows, columns, self._job.parts)


def _caught(work: Callable[[], Any]) -> Row:
    """Run some work and wrap its outcome, or the error that a user can mend, as a dataset's row.

    Of what a task or an actor raises, Ray Data hands on the words alone.
    """
    try:
        return {"outcome": work(), "error": b""}
    except VibesweepError as error:
        return {"outcome": None, "error": pickle.dumps(error)}
    except OSError as error:
        told = storage_error(error)
        if told is None:
            raise
        return {"outcome": None, "error": pickle.dumps(told)}


def _outcome(row: Row) -> Any:
    """Unwrap an outcome, or raise the error."""
    if row["error"]:
        # From our own task through Ray's memory, not from a file
        raise pickle.loads(row["error"])  # nosec B301
    return row["outcome"]


@contextmanager
def _quiet_ray_data() -> Iterator[None]:
    """Turn off Ray Data's own progress bars and log lines; progress is shown in recordings."""
    from ray.data import DataContext

    context = DataContext.get_current()
    logger = logging.getLogger("ray.data")
    bars_before, level_before = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.ERROR)  # it warns that its progress bars are off
    try:
        yield
    finally:
        context.enable_progress_bars = bars_before
        logger.setLevel(level_before)

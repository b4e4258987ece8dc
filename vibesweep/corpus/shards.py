"""A corpus becomes Parquet shards, by Ray Data.

A task reads a group of recordings and writes its Parquet file itself, and only a summary comes back. ``Dataset.write_parquet``
would put a random id into each file's name, choose the rows of a file by the sizes of blocks, and need a second pass over all
mels for statistics and rejects; so, which rows are in which file is a plan made here, the same on every machine, and a task
that is run again writes the same file again. ``folder`` must be one that all hosts see.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray
import ray.data

from vibesweep.config import MelSettings
from vibesweep.corpus import audio
from vibesweep.corpus.clips import ShardSummary, write_shard
from vibesweep.corpus.manifest import (
    MANIFEST_FILE,
    REJECTS_FILE,
    REJECTS_SCHEMA,
    SPLITS,
    Manifest,
    ShardFile,
    read_manifest,
    write_manifest,
)
from vibesweep.corpus.metadata import Recording, Segment, read_metadata
from vibesweep.corpus.plan import VAL_FRACTION, ShardPlan, plan_shards, signature_of_input, split_of
from vibesweep.corpus.rejects import Reject
from vibesweep.corpus.session import running_ray
from vibesweep.errors import CorpusError, ShardsError

_OWN_FILE = re.compile(rf"{re.escape(MANIFEST_FILE)}|{re.escape(REJECTS_FILE)}|({'|'.join(SPLITS)})-\d+\.parquet")

Progress = Callable[[int, int], None]


def preprocess(
    corpus: Path,
    out: Path,
    *,
    settings: MelSettings | None = None,
    val_fraction: float = VAL_FRACTION,
    seed: int = 0,
    progress: Progress | None = None,
) -> Manifest:
    """Make shards of a corpus, unless they are there already for the same input and settings.

    Ray is used where it runs already; otherwise a local one is started, and stopped at the end.

    Args:
        corpus: a folder with metadata.csv.
        out: the folder of shards; a former one is replaced when the new one is whole.
        settings: of the log-mels.
        val_fraction: share of the recordings that are kept for validation.
        seed: of the choice of those recordings.
        progress: is called with the recordings done and their number.

    Raises:
        CorpusError: the corpus cannot be read, or none of its recordings can be used.
        ShardsError: ``out`` holds something else than shards.
    """
    settings, corpus, out = settings or MelSettings(), corpus.resolve(), out.resolve()
    metadata = read_metadata(corpus)
    signature = signature_of_input(corpus, metadata.recordings, {"mel": asdict(settings), "val_fraction": val_fraction, "seed": seed})
    _check_out(out)
    if (out / MANIFEST_FILE).is_file() and _signature_of(out) == signature:
        return read_manifest(out)
    if not metadata.recordings:
        raise _nothing_left(corpus, metadata.rejects)
    draft = out.with_name(f".{out.name}.{signature[:12]}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        with running_ray():
            summaries = _write_shards(metadata.recordings, draft, settings, val_fraction, seed, progress)
        rejects = [*metadata.rejects, *(reject for summary in summaries for reject in summary.rejects)]
        if not any(summary.rows for summary in summaries):
            raise _nothing_left(corpus, rejects)
        _write_rejects(draft, rejects)
        manifest = _manifest(signature, settings, summaries, rejects)
        write_manifest(draft, manifest)
        _swap(draft, out)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return manifest


def _write_shards(
    recordings: Sequence[Recording],
    folder: Path,
    settings: MelSettings,
    val_fraction: float,
    seed: int,
    progress: Progress | None,
) -> list[ShardSummary]:
    """Write all files. Should rejects empty one split, the split is drawn again among the recordings that can be used."""
    splits = split_of([recording.id for recording in recordings], val_fraction=val_fraction, seed=seed)
    summaries = _run(plan_shards(recordings, splits), folder, settings, progress)
    rows = Counter({split: sum(s.rows for s in summaries if s.split == split) for split in SPLITS})
    if all(rows.values()) or rows.total() < 2:
        return summaries
    lost = tuple(reject for summary in summaries for reject in summary.rejects)
    lost_ids = {reject.id for reject in lost}
    for summary in summaries:
        (folder / summary.name).unlink(missing_ok=True)
    kept = [recording for recording in recordings if recording.id not in lost_ids]
    again = _write_shards(kept, folder, settings, val_fraction, seed, progress)
    return [*again, ShardSummary("", "train", 0, 0, [0.0] * settings.n_mels, [0.0] * settings.n_mels, rejects=lost)]


def _run(plans: Sequence[ShardPlan], folder: Path, settings: MelSettings, progress: Progress | None) -> list[ShardSummary]:
    """One Ray Data task for each plan; summaries in the order of the plans, whatever order they end in."""

    def write(row: dict[str, Any]) -> dict[str, Any]:
        summary = write_shard(_plan_from_json(row["plan"]), folder, settings)
        return {"summary": json.dumps(asdict(summary))}

    done, total = 0, sum(len(plan.recordings) for plan in plans)
    found: dict[str, ShardSummary] = {}
    with _quiet_ray_data():
        rows = [{"plan": json.dumps(asdict(plan), default=str)} for plan in plans]
        tasks = ray.data.from_items(rows, override_num_blocks=len(rows)).map(write)
        for row in tasks.iter_rows():
            summary = _summary_from_json(row["summary"])
            found[summary.name] = summary
            done += summary.rows + len(summary.rejects)
            if progress:
                progress(done, total)
    return [found[plan.name] for plan in plans]


def _plan_from_json(text: str) -> ShardPlan:
    found = json.loads(text)
    return ShardPlan(found["name"], found["split"], tuple(map(_recording_from_json, found["recordings"])))


def _recording_from_json(found: Mapping[str, Any]) -> Recording:
    speakers = tuple((tag, person) for tag, person in found["speakers"])
    segments = tuple(Segment(**segment) for segment in found["segments"])
    paths = {"audio": Path(found["audio"]), "text": Path(found["text"])}
    return Recording(**{**found, **paths, "speakers": speakers, "segments": segments})


def _summary_from_json(text: str) -> ShardSummary:
    found = json.loads(text)
    return ShardSummary(**{**found, "rejects": tuple(Reject(**reject) for reject in found["rejects"])})


def _manifest(signature: str, settings: MelSettings, summaries: Sequence[ShardSummary], rejects: Sequence[Reject]) -> Manifest:
    train = [summary for summary in summaries if summary.split == "train"]
    frames = {split: sum(s.frames for s in summaries if s.split == split) for split in SPLITS}
    total = max(1, frames["train"])
    mean = np.sum([s.mel_sum for s in train], axis=0) / total
    variance = np.sum([s.mel_square_sum for s in train], axis=0) / total - mean**2
    return Manifest(
        signature=signature,
        mel=settings,
        mel_mean=tuple(mean.tolist()),
        mel_std=tuple(np.sqrt(np.maximum(variance, 0)).tolist()),
        clips={split: sum(s.rows for s in summaries if s.split == split) for split in SPLITS},
        hours={split: audio.seconds_of(frames[split], settings) / 3_600 for split in SPLITS},
        speakers=_added_up(s.speakers for s in summaries),
        symbols=_added_up(s.symbols for s in summaries),
        rejects=_added_up([Counter(reject.reason for reject in rejects)]),
        unknown_characters=_added_up(s.unknown_characters for s in summaries),
        shards=tuple(ShardFile(s.name, s.split, s.rows) for s in summaries if s.rows),
    )


def _added_up(counts: Any) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


def _signature_of(out: Path) -> str | None:
    try:
        return read_manifest(out).signature
    except ShardsError:
        return None


def _check_out(out: Path) -> None:
    """Never replace a folder that holds anything but shards."""
    foreign = sorted(path.name for path in out.iterdir() if not _OWN_FILE.fullmatch(path.name)) if out.is_dir() else []
    if foreign:
        raise ShardsError(f"the folder holds {foreign[0]}, which is none of the shards' files", where=str(out), fix="choose another folder")
    if out.exists() and not out.is_dir():
        raise ShardsError("it is a file", where=str(out), fix="choose another folder")


def _swap(draft: Path, out: Path) -> None:
    """Put the draft in the place of ``out``; the folder is missing for a moment, but never half there."""
    old = out.with_name(f"{draft.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        os.replace(out, old)
    os.replace(draft, out)
    shutil.rmtree(old, ignore_errors=True)


def _write_rejects(folder: Path, rejects: Sequence[Reject]) -> None:
    pq.write_table(pa.Table.from_pylist([asdict(reject) for reject in rejects], schema=REJECTS_SCHEMA), folder / REJECTS_FILE)


def _nothing_left(corpus: Path, rejects: Sequence[Reject]) -> CorpusError:
    counts = Counter(reject.reason for reject in rejects)
    listed = ", ".join(f"{reason} {count}" for reason, count in counts.most_common())
    first = rejects[0]
    return CorpusError(
        f"none of its {len(rejects)} recordings can be used ({listed}; the first: {first.path}, {first.detail})",
        where=str(corpus),
        fix="mend the recordings or their rows in metadata.csv",
    )


@contextmanager
def _quiet_ray_data() -> Iterator[None]:
    """Ray Data without its own progress bars and log lines; progress is told in recordings."""
    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, logger.level
    context.enable_progress_bars = False
    logger.setLevel(logging.ERROR)  # it warns that its progress bars are off
    try:
        yield
    finally:
        context.enable_progress_bars = before[0]
        logger.setLevel(before[1])

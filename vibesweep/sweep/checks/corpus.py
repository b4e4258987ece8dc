"""Whether a sweep's corpus can be used: its recordings, or the shards that are made of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from vibesweep.config import Sweep
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.shards.manifest import MANIFEST_FILE, Manifest, read_manifest
from vibesweep.corpus.shards.remarks import HOLD_OUT_MORE, check_enough_clips, remarks
from vibesweep.errors import CorpusError, ShardsError
from vibesweep.models.registry import ModelRef
from vibesweep.progress import Say
from vibesweep.storage import StoragePath
from vibesweep.sweep.record.plan import SECONDS_AN_HOUR
from vibesweep.sweep.search.space import Rehearsal

DEMO = "demo"


def check_corpus(corpus: str) -> Manifest | None:
    """Refuse at once what is neither shards nor a corpus of which some can be held out.

    Returns:
        The manifest, of shards.

    Raises:
        CorpusError: there is no metadata, it cannot be read, or it has a single recording.
        ShardsError: the manifest cannot be read.
    """
    if is_demo(corpus):
        return None
    if (StoragePath.of(corpus) / MANIFEST_FILE).is_file():
        return read_manifest(corpus)
    metadata = read_metadata(corpus)
    if len(metadata.recordings) == 1:
        found = "it has one recording, so that none can be held out for validation"
        raise CorpusError(found, where=corpus, fix="add recordings, or cut it in two")
    return None


def check_fit(model: ModelRef, shards: str, say: Say) -> None:
    """Look whether a model can be tuned on shards, before any lane comes up.

    Raises:
        ModelError: the model cannot be read.
        ShardsError: the shards do not fit it.
    """
    remark = model.family.check_shards(model.address, read_manifest(shards), shards)
    if remark is not None:
        say(remark)


def check_clips(sweep: Sweep, rehearsal: Rehearsal, shards: str, say: Say) -> None:
    """Look whether there are clips enough to train and to rank trials.

    Raises:
        ShardsError: a split is empty, or there are fewer training clips than workers.
    """
    manifest = read_manifest(shards)
    if not manifest.clips["val"]:
        found = "the val split is empty, so that trials cannot be ranked"
        raise ShardsError(found, where=shards, fix=HOLD_OUT_MORE)
    workers = sweep.resources.workers
    check_enough_clips(manifest.clips["train"], workers, shards)
    for remark in [*remarks(shards), *_batch_remarks(rehearsal, manifest, workers)]:
        say(f"{shards}: {remark}")


def is_demo(corpus: str) -> bool:
    """Tell whether the demo corpus is meant, and not a folder of that name."""
    return corpus == DEMO and not Path(corpus).exists()


def _batch_remarks(rehearsal: Rehearsal, manifest: Manifest, workers: int) -> Iterator[str]:
    """Say which steps would hold less than they are meant to."""
    in_clips = []
    in_seconds = []
    for settings in rehearsal.settings:
        if settings.batch_seconds is None:
            in_clips.append(settings.batch_clips)
        else:
            in_seconds.append(settings.batch_seconds)
    if in_clips:
        yield from _clip_remarks(min(in_clips), max(in_clips), manifest.clips["train"], workers)
    seconds = manifest.hours["train"] * SECONDS_AN_HOUR
    if in_seconds and max(in_seconds) > seconds:
        there = f"there are {seconds:.0f} s of training clips"
        yield f"batch_seconds is {max(in_seconds):g}, and {there}: each step takes all of them"


def _clip_remarks(least: int, most: int, clips: int, workers: int) -> Iterator[str]:
    if most > clips:
        there = f"there are {clips} training clips"
        yield f"batch_clips is {most}, and {there}: each step takes all of them"
    if least < workers:
        idle = workers - least
        yield f"batch_clips is {least}, for {workers} workers: {idle} of them wait in each step"

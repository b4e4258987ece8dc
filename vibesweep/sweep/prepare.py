"""From what a sweep names as its corpus to shards that its lanes can read."""

from __future__ import annotations

import dataclasses
import hashlib
import tempfile
from pathlib import Path

from vibesweep.config import Sweep
from vibesweep.corpus.clip_encoder import ClipEncoder
from vibesweep.corpus.ingest.metadata import METADATA_FILE
from vibesweep.corpus.preprocess.progress import shown
from vibesweep.corpus.preprocess.run import preprocess_beside
from vibesweep.corpus.shards.manifest import MANIFEST_FILE, REJECTS_FILE, Manifest
from vibesweep.models.registry import ModelRef
from vibesweep.progress import Say
from vibesweep.storage import StoragePath
from vibesweep.storage.folders import upload_folder
from vibesweep.sweep.checks.corpus import DEMO, is_demo
from vibesweep.sweep.record.folder import CORPORA, SHARDS
from vibesweep.sweep.search.enumeration import enumerate_suggestions
from vibesweep.sweep.search.space import suggest


def limit_trials(sweep: Sweep, say: Say) -> Sweep:
    """Ask for no more trials than the space has suggestions: a repeat would teach nothing."""
    count = enumerate_suggestions(lambda trial: suggest(sweep, trial)).count
    if not count or count >= sweep.trials:
        return sweep
    say(f"the space has {count} different settings: {count} trials, not {sweep.trials}")
    return dataclasses.replace(sweep, trials=count)


def shards_for(sweep: Sweep, model: ModelRef, work: StoragePath, say: Say) -> str:
    """Return the folder of shards of a sweep's corpus, made where it is not there yet.

    A corpus that has changed gets another folder: a sweep may be reading the former one.

    Args:
        sweep: its corpus is a folder of shards, a corpus folder, or ``demo``.
        model: whose encoder makes the shards' columns.
        work: where the demo corpus and the shards go, each named after its corpus.
        say: told what takes time.

    Raises:
        CorpusError: the folder is no corpus, or too many of its recordings cannot be used.
        ModelError: the model's encoders cannot be read.
    """
    if is_demo(sweep.corpus):
        corpus = _demo_corpus(work / CORPORA / DEMO, say)
    else:
        corpus = StoragePath.of(sweep.corpus)
    if (corpus / MANIFEST_FILE).is_file():
        return str(corpus)
    encoder = _encoder_of(model)
    out = work / SHARDS / _shards_name(corpus, encoder)
    with shown() as tell:
        folder, manifest = preprocess_beside(
            corpus,
            out,
            encoder,
            gpus_may_come=sweep.resources.gpus_per_worker > 0,
            tell=tell,
            say=say,
        )
    say(_made_line(manifest, folder))
    return str(folder)


def shards_place(corpus: str, model: ModelRef, work: StoragePath) -> StoragePath | None:
    """Return the newest shards that sweeps have made of a corpus for a model, if there are any."""
    place = work / CORPORA / DEMO if is_demo(corpus) else StoragePath.of(corpus)
    name = _shards_name(place, _encoder_of(model))
    made = {}
    for folder in (work / SHARDS).folders():
        manifest = (folder / MANIFEST_FILE).stat()
        if manifest is not None and folder.name.startswith(name):
            made[manifest.mtime_ns] = folder
    return made[max(made)] if made else None


def _encoder_of(model: ModelRef) -> ClipEncoder:
    language = model.family.language(model.address)
    return model.family.clip_encoder(model.address, language)


def _shards_name(corpus: StoragePath, encoder: ClipEncoder) -> str:
    """Name shards: corpora may share a name, and encoders a corpus, and both tell them apart."""
    origin = f"{corpus} {encoder.name}"
    digest = hashlib.sha256(origin.encode()).hexdigest()[:8]
    return f"{corpus.name}-{digest}"


def _made_line(manifest: Manifest, out: StoragePath) -> str:
    clips = sum(manifest.clips.values())
    minutes = sum(manifest.hours.values()) * 60
    line = f"shards: {clips} clips, {minutes:.1f} minutes in {out}"
    rejected = sum(manifest.rejects.values())
    if rejected:
        line += f", {rejected} recordings left out (see {out / REJECTS_FILE})"
    return line


def _demo_corpus(folder: StoragePath, say: Say) -> StoragePath:
    """Speak the demo corpus, unless it is there."""
    if (folder / METADATA_FILE).is_file():
        return folder
    from vibesweep.corpus.demo import write_demo_corpus

    say(f"speaking the demo corpus into {folder}")
    if folder.local is not None:
        write_demo_corpus(folder.local)
        return folder
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
        spoken = write_demo_corpus(Path(scratch) / DEMO)
        upload_folder(spoken, folder, METADATA_FILE)
    return folder

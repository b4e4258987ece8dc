"""From what a sweep names as its corpus to shards that its lanes can read."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from vibesweep.config import Sweep
from vibesweep.corpus.ingest.metadata import METADATA_FILE, read_metadata
from vibesweep.corpus.preprocess.progress import shown
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.corpus.shards.manifest import (
    MANIFEST_FILE,
    REJECTS_FILE,
    Manifest,
    read_manifest,
)
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.storage.folders import upload_folder
from vibesweep.sweep.record.folder import CORPORA, SHARDS

DEMO = "demo"

Say = Callable[[str], None]


def check_corpus(corpus: str) -> None:
    """Refuse at once, before Ray is up, what is neither shards nor a corpus.

    Raises:
        CorpusError: there is no metadata, or it cannot be read.
    """
    if is_demo(corpus):
        return
    if not (StoragePath.of(corpus) / MANIFEST_FILE).is_file():
        read_metadata(corpus)


def shards_for(sweep: Sweep, model: ModelRef, work: StoragePath, say: Say, console: Console) -> str:
    """Return the folder of shards of a sweep's corpus, made where it is not there yet.

    Args:
        sweep: its corpus is a folder of shards, a corpus folder, or ``demo``.
        model: whose encoder makes the shards' columns.
        work: where the demo corpus and the shards go, each named after its corpus.
        say: told what takes time.
        console: shows how the encoding gets on.

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
    language = model.family.language(model.address)
    encoder = model.family.clip_encoder(model.address, language)
    # Corpora may share a name, and encoders a corpus: both tell their shards apart
    origin = f"{corpus} {encoder.name}"
    digest = hashlib.sha256(origin.encode()).hexdigest()[:8]
    out = work / SHARDS / f"{corpus.name}-{digest}"
    with shown(console) as tell:
        manifest = preprocess(
            corpus,
            out,
            encoder,
            gpus_may_come=sweep.resources.gpus_per_worker > 0,
            tell=tell,
        )
    say(_made_line(manifest, out))
    return str(out)


def check_fit(model: ModelRef, shards: str, say: Say) -> None:
    """Look whether a model can be tuned on shards, before any lane comes up.

    Raises:
        ModelError: the model cannot be read.
        ShardsError: the shards do not fit it.
    """
    remark = model.family.check_shards(model.address, read_manifest(shards), shards)
    if remark is not None:
        say(remark)


def is_demo(corpus: str) -> bool:
    """Tell whether the demo corpus is meant, and not a folder of that name."""
    return corpus == DEMO and not Path(corpus).exists()


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

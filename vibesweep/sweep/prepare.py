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
from vibesweep.corpus.shards.manifest import MANIFEST_FILE, REJECTS_FILE, read_manifest
from vibesweep.models.bundle import description_of, encoder_of
from vibesweep.storage import StoragePath
from vibesweep.storage.folders import upload_folder
from vibesweep.sweep.record.record import CORPORA, SHARDS

DEMO = "demo"


def check_corpus(corpus: str) -> None:
    """Refuse at once, before Ray is up, what is neither shards nor a corpus.

    Raises:
        CorpusError: there is no metadata, or it cannot be read.
    """
    if not is_demo(corpus) and not (StoragePath.of(corpus) / MANIFEST_FILE).is_file():
        read_metadata(corpus)


def shards_for(
    sweep: Sweep, work: StoragePath, say: Callable[[str], None], console: Console
) -> str:
    """Return the folder of shards of a corpus, made under ``work`` where it is not there yet.

    Args:
        sweep: its corpus is a folder of shards, a corpus folder, or ``demo``; where its model has encoders of its own, they hear the
            corpus, on GPUs where its trials take them.
        work: where the demo corpus and the shards go, each named after its corpus.
        say: told what takes time.
        console: shows how the encoding gets on.

    Raises:
        CorpusError: the folder is no corpus, or too many of its recordings cannot be used.
        ModelError: the model's encoders cannot be read.
    """
    place = (
        _demo_corpus(work / CORPORA / DEMO, say)
        if is_demo(sweep.corpus)
        else StoragePath.of(sweep.corpus)
    )
    if (place / MANIFEST_FILE).is_file():
        return str(place)
    encoder = encoder_of(sweep.model)
    # Two corpora may share a name, and two checkpoints a corpus; their addresses tell their shards apart.
    origin = str(place) if encoder is None else f"{place} {encoder.name}"
    out = work / SHARDS / f"{place.name}-{hashlib.sha256(origin.encode()).hexdigest()[:8]}"
    with shown(console) as tell:
        manifest = preprocess(
            str(place),
            str(out),
            encoder=encoder,
            gpus_may_come=sweep.resources.gpus_per_worker > 0,
            tell=tell,
        )
    hours, rejected = sum(manifest.hours.values()), sum(manifest.rejects.values())
    left_out = f", {rejected} recordings left out (see {out / REJECTS_FILE})" if rejected else ""
    say(
        f"shards: {sum(manifest.clips.values())} clips, {hours * 60:.1f} minutes in {out}{left_out}"
    )
    return str(out)


def check_fit(model: str, shards: str, say: Callable[[str], None]) -> None:
    """Look whether a model can be tuned on shards, before any lane comes up.

    Raises:
        ModelError: the model cannot be read.
        ShardsError: the shards do not fit it.
    """
    family, description = description_of(model)
    remark = family.check_shards(description, read_manifest(shards), shards)
    if remark is not None:
        say(remark)


def is_demo(corpus: str) -> bool:
    """Whether the demo corpus is meant, and no folder of that name."""
    return corpus == DEMO and not Path(corpus).exists()


def _demo_corpus(folder: StoragePath, say: Callable[[str], None]) -> StoragePath:
    if not (folder / METADATA_FILE).is_file():
        from vibesweep.corpus.demo.dialogues import write_demo_corpus

        say(f"speaking the demo corpus into {folder}")
        if folder.local is not None:
            write_demo_corpus(folder.local)
        else:
            with tempfile.TemporaryDirectory(prefix="vibesweep-") as spoken:
                upload_folder(write_demo_corpus(Path(spoken) / DEMO), folder, METADATA_FILE)
    return folder

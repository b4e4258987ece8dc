"""From what a sweep names as its corpus to shards that its lanes can read."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from vibesweep.corpus.manifest import MANIFEST_FILE
from vibesweep.corpus.metadata import METADATA_FILE, read_metadata
from vibesweep.corpus.shards import preprocess

DEMO = "demo"


def check_corpus(corpus: str) -> None:
    """Refuse at once, before Ray is up, what is neither shards nor a corpus.

    Raises:
        CorpusError: there is no metadata, or it cannot be read.
    """
    folder = Path(corpus)
    if (corpus != DEMO or folder.exists()) and not (folder / MANIFEST_FILE).is_file():
        read_metadata(folder)


def shards_for(corpus: str, work: Path, say: Callable[[str], None]) -> Path:
    """Return the folder of shards of a corpus, made under ``work`` where it is not there yet.

    Args:
        corpus: a folder of shards, a corpus folder, or ``demo``.
        work: where the demo corpus and the shards go, each named after its corpus.
        say: told what takes time.

    Raises:
        CorpusError: the folder is no corpus, or none of its recordings can be used.
    """
    folder = Path(corpus)
    if corpus == DEMO and not folder.exists():
        folder = _demo_corpus(work / "corpora" / DEMO, say)
    if (folder / MANIFEST_FILE).is_file():
        return folder.resolve()
    # Two corpora may share a name; their paths tell their shards apart.
    path = str(folder.resolve())
    out = work / "shards" / f"{folder.resolve().name}-{hashlib.sha256(path.encode()).hexdigest()[:8]}"
    manifest = preprocess(folder, out)
    hours, rejected = sum(manifest.hours.values()), sum(manifest.rejects.values())
    left_out = f", {rejected} recordings left out (see {out}/rejects.parquet)" if rejected else ""
    say(f"shards: {sum(manifest.clips.values())} clips, {hours * 60:.1f} minutes in {out}{left_out}")
    return out.resolve()


def _demo_corpus(folder: Path, say: Callable[[str], None]) -> Path:
    if not (folder / METADATA_FILE).is_file():
        from vibesweep.corpus.demo import write_demo_corpus

        say(f"speaking the demo corpus into {folder}")
        write_demo_corpus(folder)
    return folder

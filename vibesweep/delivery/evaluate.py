"""How a model sounds: it and its untouched base say held-out texts, and the figures are kept.

Asked twice for the same, it reads what it wrote.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from vibesweep.corpus.shards.manifest import MANIFEST_FILE, read_table
from vibesweep.delivery.export import PROVENANCE
from vibesweep.delivery.synthesize import fetched_model, model_named
from vibesweep.errors import ModelError
from vibesweep.models.registry import ModelRef
from vibesweep.progress import Say
from vibesweep.quality.listening import SEED, Voice, base_voice, listen
from vibesweep.quality.passages import Passages, choose_passages
from vibesweep.quality.quality_file import (
    BASE,
    QUALITY_FILE,
    Quality,
    Row,
    read_quality,
    write_quality,
)
from vibesweep.quality.scorer import Passage
from vibesweep.quality.scorers import Scorers, make_scorers
from vibesweep.quality.verdict import verdict
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.storage.early import check_folder_writable
from vibesweep.storage.json_text import parse_json
from vibesweep.version import __version__

TEXTS = 8
EVALUATIONS = "evaluations"
AUDIO = "audio"
HASHED_BYTES = 1 << 20
"""Of a file's beginning and of its end: a training changes all weights, which may be gigabytes."""


class Evaluation(NamedTuple):
    """What was found, and where it lies.

    Attributes:
        quality: the figures.
        folder: of the JSON file and the sound files.
    """

    quality: Quality
    folder: Path


def evaluate(
    name: str,
    corpus: StorageAddress,
    tell: Say,
    *,
    work: StorageAddress = ".",
    out: Path | None = None,
    texts: int = TEXTS,
    scorers: Sequence[str] = (),
) -> Evaluation:
    """Have a model and its base say held-out texts of a corpus, and measure both.

    Args:
        name: a model's, as for synthesize, or a sweep's, for its best trial.
        corpus: a folder of recordings, or of shards, whose held-out split is taken.
        tell: called with a line on what is not judged.
        work: where sweeps lie.
        out: the folder to write; ``evaluations/NAME-on-CORPUS`` if left out.
        texts: how many.
        scorers: scorers of the user's.

    Raises:
        ModelError: there is no such model, or a scorer cannot be made.
        CorpusError: nothing of the corpus can be compared with.
        StorageError: something cannot be read or written.
    """
    place = StoragePath.of(corpus)
    short_name = StoragePath.of(name).name
    folder = out or Path(EVALUATIONS) / f"{short_name}-on-{place.name}"
    check_folder_writable(folder, "--out")
    file = StoragePath.of(folder / QUALITY_FILE)
    model_name = model_named(name, work)
    with fetched_model(model_name) as model:
        origin = _origin_of(model)
        language = model.family.language(model.address)
        seen = _trained_on(origin)
        chosen = choose_passages(place, language, texts, seen)
        listeners = make_scorers(chosen.english, scorers)
        key = _key(model, chosen, listeners, scorers)
        before = read_quality(file)
        if before is not None and before.key == key:
            return Evaluation(before, folder)
        if listeners.missing:
            tell(listeners.missing)
        own = Voice(short_name if origin else BASE, model)
        quality = _listened(own, origin, chosen.passages, listeners, folder, key)
        write_quality(quality, file)
    return Evaluation(quality, folder)


def _listened(
    own: Voice,
    origin: dict[str, str],
    passages: Sequence[Passage],
    listeners: Scorers,
    folder: Path,
    key: str,
) -> Quality:
    """Have a voice, and its base where there is one, say the passages; return what was heard."""
    with _heard(own, origin) as voices:
        rows = listen(voices, passages, listeners.scorers, folder, folder / AUDIO)
    words = verdict(rows, own.name, listeners.measures)
    return quality_of(rows, passages, listeners, words, key)


@contextmanager
def _heard(own: Voice, origin: dict[str, str]) -> Iterator[list[Voice]]:
    """Give the voices to listen to: a tuned one's base comes first."""
    if not origin:
        yield [own]
        return
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch:
        base = base_voice(origin["model"], own.model, Path(scratch))
        yield [base, own]


def quality_of(
    rows: Sequence[Row],
    passages: Sequence[Passage],
    listeners: Scorers,
    words: str,
    key: str = "",
) -> Quality:
    """Collect what was heard; time may have ended it before the last passage."""
    count = len(rows[0].audio)
    said = passages[:count]
    texts = [passage.text for passage in said]
    clips = [passage.id for passage in said]
    return Quality(
        texts=tuple(texts),
        clips=tuple(clips),
        measures=listeners.measures,
        rows=tuple(rows),
        verdict=words,
        missing=listeners.missing,
        seed=SEED,
        key=key,
    )


def _origin_of(model: ModelRef) -> dict[str, str]:
    """Return base and shards of the sweep that a model comes from; nothing for any other model.

    Raises:
        ModelError: its provenance cannot be read.
    """
    file = Path(model.address) / PROVENANCE
    if not file.is_file():
        return {}
    try:
        provenance = parse_json(file.read_bytes())
        sweep = provenance["sweep"]
        return {name: str(sweep[name]) for name in ("model", "shards")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        fix = "export the model again, or remove the file: no base is compared with then"
        raise ModelError(f"it cannot be read: {error!r}", where=str(file), fix=fix) from error


def _trained_on(origin: dict[str, str]) -> frozenset[str]:
    """Return the addresses of the recordings that a model was trained on, if the shards tell."""
    if not origin:
        return frozenset()
    shards = StoragePath.of(origin["shards"])
    manifest = shards / MANIFEST_FILE
    if not manifest.is_file():
        return frozenset()
    table = read_table(shards, "train", ["source"])
    sources = table["source"].to_pylist()
    return frozenset(sources)


def _key(model: ModelRef, chosen: Passages, listeners: Scorers, named: Sequence[str]) -> str:
    """Hash what an evaluation depends on."""
    passages = []
    for passage in chosen.passages:
        seconds = passage.recording.seconds
        passages.append((passage.id, passage.text, seconds))
    facts = {
        "vibesweep": __version__,
        "model": _state_of(model),
        "passages": passages,
        "english": chosen.english,
        "measures": [measure.name for measure in listeners.measures],
        "scorers": list(named),
        "seed": SEED,
    }
    text = json.dumps(facts)
    return hashlib.sha256(text.encode()).hexdigest()


def _state_of(model: ModelRef) -> list[object]:
    """Return what changes when a model's files do, and stays when they are copied."""
    folder = model.family.folder(model.address)
    if folder is None:
        return [str(model)]
    state: list[object] = []
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            size = path.stat().st_size
            state.append([path.name, size, _hash_of_ends(path, size)])
    provenance = folder / PROVENANCE
    if provenance.is_file():
        state.append(provenance.read_text(encoding="utf-8"))
    return state


def _hash_of_ends(file: Path, size: int) -> str:
    """Hash a file's beginning and end."""
    with file.open("rb") as content:
        beginning = content.read(HASHED_BYTES)
        content.seek(max(size - HASHED_BYTES, 0))
        end = content.read()
    return hashlib.sha256(beginning + end).hexdigest()

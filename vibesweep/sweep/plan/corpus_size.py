"""How much speech a sweep trains on, as far as it can be said before anything is encoded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from vibesweep.config import CorpusSettings
from vibesweep.corpus.demo.corpus_folder import DEMO_RECORDINGS
from vibesweep.corpus.ingest.audio_file import probe
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.recordings import Recording
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.shards.manifest import MANIFEST_FILE, read_manifest
from vibesweep.errors import CorpusError
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.sweep.checks.corpus import is_demo
from vibesweep.sweep.prepare import shards_place
from vibesweep.sweep.record.plan import SECONDS_AN_HOUR

DEMO_RECORDING_S = 6.5
"""A demo recording takes 4 to 9 s."""
MOST_PROBED = 200
"""Files whose headers are read where the table does not say how long recordings are."""


@dataclass(frozen=True)
class CorpusSize:
    """How much speech there is.

    Attributes:
        clips: training clips.
        speech_s: seconds of speech in them.
        held_out_s: seconds of speech in the validation clips.
        shards: the shards that say so; ``None`` where there are none yet.
    """

    clips: int
    speech_s: float
    held_out_s: float
    shards: str | None = None


def corpus_size(corpus: str, model: ModelRef, work: StoragePath) -> CorpusSize:
    """Find out how much speech a corpus has.

    Args:
        corpus: a folder of shards, a corpus folder, or ``demo``.
        model: whose shards are looked for.
        work: the folder that a sweep would work in.

    Raises:
        CorpusError: the corpus cannot be read, or nobody knows how long its recordings are.
    """
    shards = _shards_of(corpus, model, work)
    if shards is not None:
        manifest = read_manifest(shards)
        hours = manifest.hours
        speech_s = hours["train"] * SECONDS_AN_HOUR
        held_out_s = hours["val"] * SECONDS_AN_HOUR
        return CorpusSize(manifest.clips["train"], speech_s, held_out_s, str(shards))
    if is_demo(corpus):
        return _split([DEMO_RECORDING_S] * DEMO_RECORDINGS)
    recordings = read_metadata(corpus).recordings
    known = [found.duration_s for found in recordings if found.duration_s is not None]
    known = known or _probed(recordings)
    if not known:
        found = "nobody knows how long its recordings are"
        fix = "write the column duration_sec, or make its shards with `vibesweep preprocess`"
        raise CorpusError(found, where=corpus, fix=fix)
    # Those that are not known are taken to be as long as the others
    mean_s = fmean(known)
    return _split([*known, *[mean_s] * (len(recordings) - len(known))])


def _shards_of(corpus: str, model: ModelRef, work: StoragePath) -> StoragePath | None:
    """Return the folder of shards that a corpus is, or the newest that was made of it."""
    if not is_demo(corpus):
        place = StoragePath.of(corpus)
        if (place / MANIFEST_FILE).is_file():
            return place
    return shards_place(corpus, model, work)


def _split(seconds: list[float]) -> CorpusSize:
    """Cut and split recordings as the shards' default settings do."""
    settings = CorpusSettings()
    clips = sum(math.ceil(length / settings.max_duration_s) for length in seconds)
    share = 1 - settings.val_fraction
    training_clips = max(round(share * clips), 1)
    total_s = sum(seconds)
    training_s = share * total_s
    return CorpusSize(training_clips, training_s, total_s - training_s)


def _probed(recordings: Sequence[Recording]) -> list[float]:
    """Read how long some recordings are from their files, where these are on this machine."""
    lengths = []
    for recording in recordings[:: max(len(recordings) // MOST_PROBED, 1)]:
        path = StoragePath.of(recording.audio).local
        if path is None:
            return []
        try:
            lengths.append(probe(path).duration_s)
        except RecordingError:
            continue
    return lengths

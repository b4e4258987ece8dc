"""What a corpus holds, by its table, a few headers and a few texts.

Nothing is decoded but what has no header that libsndfile reads.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from vibesweep.corpus.ingest import open_recording
from vibesweep.corpus.ingest.metadata import find_table, read_metadata
from vibesweep.corpus.preprocess.files import find_files
from vibesweep.corpus.recordings import Recording
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.shards.manifest import MANIFEST_FILE, Manifest, read_manifest
from vibesweep.corpus.text.scripts import language_of
from vibesweep.errors import CorpusError
from vibesweep.storage import StorageAddress, StoragePath

LOOKED_AT = 200
"""Recordings whose files are opened; a store answers each in some ten milliseconds."""
SECONDS_AN_HOUR = 3_600


@dataclass(frozen=True)
class CorpusFacts:
    """What a corpus holds.

    Attributes:
        clips: recordings, or the clips of shards.
        hours: of speech; from the mean of some recordings, where the table does not say.
        people: who speak, by their names; empty where only the texts' tags tell.
        languages: of turns or of texts that were looked at, counted; ``zh`` where there are Han
            characters.
    """

    clips: int
    hours: float
    people: tuple[str, ...] = ()
    languages: Mapping[str, int] = field(default_factory=dict)


def corpus_facts(corpus: StorageAddress, language: str) -> CorpusFacts:
    """Look at a corpus, or at shards.

    Args:
        corpus: a folder of recordings, a table, or a folder of shards.
        language: in which texts without Han characters are read.

    Raises:
        CorpusError: there is no table, it cannot be read, or no recording can.
        ShardsError: the manifest cannot be read.
        StorageError: the store cannot be reached.
    """
    place = StoragePath.of(corpus)
    if (place / MANIFEST_FILE).is_file():
        return _of_shards(read_manifest(place))
    return _of_recordings(place, language)


def _of_shards(manifest: Manifest) -> CorpusFacts:
    return CorpusFacts(
        clips=sum(manifest.clips.values()),
        hours=sum(manifest.hours.values()),
        people=tuple(manifest.speakers),
        languages=manifest.languages,
    )


def _of_recordings(place: StoragePath, language: str) -> CorpusFacts:
    table = find_table(place)
    metadata = read_metadata(table)
    recordings = metadata.recordings
    step = max(len(recordings) // LOOKED_AT, 1)
    some = find_files(recordings[::step], table).recordings
    lengths_s = [_seconds(recording) for recording in some]
    durations = [seconds for seconds in lengths_s if seconds is not None]
    if not durations:
        found = f"none of {len(some)} recordings that were looked at can be read"
        fix = "see `vibesweep inspect`, which shows how the table is understood"
        raise CorpusError(found, where=str(table), fix=fix)
    people: dict[str, None] = {}
    for recording in recordings:
        people |= dict.fromkeys(dict(recording.speakers).values())
    return CorpusFacts(
        clips=len(recordings),
        hours=fmean(durations) * len(recordings) / SECONDS_AN_HOUR,
        people=tuple(people),
        languages=_languages(some, language),
    )


def _seconds(recording: Recording) -> float | None:
    """Return how long a recording is, as its table or its header says; None where neither does."""
    if recording.duration_s is not None:
        return recording.duration_s
    try:
        place = StoragePath(recording.audio)
        with place.fetched() as file, open_recording(file, recording.audio) as audio:
            return audio.header.duration_s
    except (OSError, RecordingError):
        return None


def _languages(recordings: Sequence[Recording], language: str) -> Counter[str]:
    counts: Counter[str] = Counter()
    for recording in recordings:
        words = recording.words
        if words is None:
            try:
                words = StoragePath(recording.text).read_bytes().decode("utf-8-sig")
            except (OSError, ValueError):
                continue
        counts[language_of(words, language)] += 1
    return counts

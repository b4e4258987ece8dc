"""Whether one speaker tag covers several people, as far as that shows at little cost.

Two signs are looked at: recordings of one tag that come from different folders, and recordings
whose pitches fall into two groups as far apart as a man's and a woman's. Two men or two women are
not told apart: no cheap measure did so without crying wolf (docs/design/corpus.md has figures).
"""

from __future__ import annotations

import math
import posixpath
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from vibesweep.corpus.ingest import decode
from vibesweep.corpus.preprocess.plan import ClipEntry
from vibesweep.corpus.rejects import RecordingError, RecordingWarning
from vibesweep.corpus.shards.ranks import rank
from vibesweep.corpus.sound.pitch import PITCH_RATE_HZ, median_pitch_hz
from vibesweep.storage import StoragePath
from vibesweep.storage.addresses import split_address

SEVERAL_FOLDERS = "several_folders"
SEVERAL_VOICES = "several_voices"
FOLDERS_SHOWN = 4

MOST_LISTENED, LEAST_LISTENED = 16, 8
"""Recordings of a tag whose pitch is measured, and the fewest that say anything."""
MOST_TAGS = 6
"""Tags whose pitch is measured, those with most recordings: 96 recordings take 3 to 6 s."""
LISTENED_S = 10.0
APART_OCTAVES = 0.6
"""Least distance between the means of the two groups. Clips of one real person fell into groups up
to 0.52 octaves apart; a man and a woman are 0.6 to 1.2 apart."""
APART_SPREADS = 4.5
"""The same in standard deviations within the groups. Any one group that is cut in two has 2.7."""
LEAST_SPREAD_OCTAVES = 0.05
SMALLEST_GROUP = 0.15

Pitches = npt.NDArray[np.floating[Any]]


def warnings_of_people(clips: Sequence[ClipEntry]) -> list[RecordingWarning]:
    """Look for tags that may cover several people; a warning for each, with its first recording.

    The pitch is that of recordings with one speaker alone.
    """
    by_person: dict[str, list[ClipEntry]] = {}
    for clip in sorted(clips, key=lambda clip: clip.id):
        for person in clip.people:
            own = by_person.setdefault(person, [])
            own.append(clip)
    of_folders = _warnings_of_folders(by_person)
    of_voices = _warnings_of_voices(by_person)
    return [*of_folders, *of_voices]


def _warnings_of_folders(
    by_person: Mapping[str, Sequence[ClipEntry]],
) -> Iterator[RecordingWarning]:
    for person, clips in by_person.items():
        folders = Counter(_folder_of(clip) for clip in clips)
        if len(folders) == 1 or _has_own_folder(person, folders, by_person):
            continue
        detail = f"{person} in {_listed(folders)}"
        first = clips[0]
        yield RecordingWarning(first.id, first.source, SEVERAL_FOLDERS, detail)


def _listed(folders: Counter[str]) -> str:
    """Name folders, with the number of recordings in each, from where they all lie."""
    above = posixpath.commonpath(folders)
    shown = []
    for folder, count in folders.most_common(FOLDERS_SHOWN):
        name = posixpath.relpath(folder, above)
        shown.append(f"{name} ({count})")
    more = len(folders) - len(shown)
    if more:
        shown.append(f"{more} more")
    return ", ".join(shown)


def _has_own_folder(
    person: str, folders: Mapping[str, int], by_person: Mapping[str, Sequence[ClipEntry]]
) -> bool:
    """Tell whether the folders are parts of one that holds this person alone, of several people.

    So are the chapters of LibriTTS, or VCTK's two microphones.
    """
    if len(by_person) == 1:
        return False
    above = posixpath.commonpath(folders)
    for other, clips in by_person.items():
        if other == person:
            continue
        if any(f"{_folder_of(clip)}/".startswith(f"{above}/") for clip in clips):
            return False
    return True


def _folder_of(clip: ClipEntry) -> str:
    path = split_address(clip.source).path  # of a URI, what is before its query
    return posixpath.dirname(path)


def _warnings_of_voices(
    by_person: Mapping[str, Sequence[ClipEntry]],
) -> Iterator[RecordingWarning]:
    alone: dict[str, dict[str, ClipEntry]] = {}
    for person, clips in by_person.items():
        alone[person] = {clip.source: clip for clip in clips if len(clip.people) == 1}
    most_first = sorted(alone, key=lambda person: -len(alone[person]))
    for person in most_first[:MOST_TAGS]:
        clip_of_source = alone[person]
        if len(clip_of_source) < LEAST_LISTENED:
            continue
        groups = _groups_among(clip_of_source)
        if groups is None:
            continue
        low, high = groups
        detail = f"{person}: about {low:.0f} Hz and about {high:.0f} Hz"
        first = clip_of_source[min(clip_of_source)]
        yield RecordingWarning(first.id, first.source, SEVERAL_VOICES, detail)


def _groups_among(sources: Iterable[str]) -> tuple[float, float] | None:
    """Measure the pitch of some recordings, and tell whether they fall into two groups."""
    chosen = sorted(sources, key=rank)[:MOST_LISTENED]
    pitches = []
    for source in chosen:
        pitch = _pitch_hz(source)
        if pitch is not None:
            pitches.append(pitch)
    return two_groups_hz(pitches)


def two_groups_hz(pitches_hz: Sequence[float]) -> tuple[float, float] | None:
    """Tell whether pitches fall into two groups as far apart as those of two people.

    Returns:
        The geometric mean of each group, in Hz; None where there is one group, or too few pitches.
    """
    if len(pitches_hz) < LEAST_LISTENED:
        return None
    octaves = np.log2(pitches_hz)
    ordered = np.sort(octaves)
    count = len(ordered)
    smallest = max(2, math.ceil(SMALLEST_GROUP * count))
    found = None
    most_spreads = APART_SPREADS
    for cut in range(smallest, count - smallest + 1):
        low, high = ordered[:cut], ordered[cut:]
        low_mean, high_mean = float(low.mean()), float(high.mean())
        apart = high_mean - low_mean
        spreads = apart / _spread_within(low, high)
        if spreads >= most_spreads:
            most_spreads = spreads
            found = (2**low_mean, 2**high_mean) if apart >= APART_OCTAVES else None
    return found


def _spread_within(low: Pitches, high: Pitches) -> float:
    """Return the standard deviation inside two groups, in octaves."""
    squares = low.var() * len(low) + high.var() * len(high)
    degrees = len(low) + len(high) - 2
    spread = math.sqrt(squares / degrees)
    return max(spread, LEAST_SPREAD_OCTAVES)


def _pitch_hz(source: str) -> float | None:
    """Measure the pitch of a recording's beginning, where it can be read."""
    try:
        with StoragePath.of(source).fetched() as path:
            waveform = decode(path, PITCH_RATE_HZ, 0.0, LISTENED_S, where=source)
    except RecordingError:  # it is silent at its beginning
        return None
    return median_pitch_hz(waveform.samples)

"""Whether one speaker tag covers several people, as far as that shows at little cost.

Two signs are looked at: recordings of one tag that come from different folders, and recordings
whose pitches fall into two groups as far apart as a man's and a woman's. Two men or two women are
not told apart: no cheap measure did so without crying wolf (docs/design/corpus.md has figures).
"""

from __future__ import annotations

import math
import posixpath
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

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

Pitches = npt.NDArray[np.floating]


def warnings_of_people(clips: Sequence[ClipEntry]) -> list[RecordingWarning]:
    """Look for tags that may cover several people; a warning for each, with its first recording.

    The pitch is that of recordings with one speaker alone.
    """
    by_person: dict[str, list[ClipEntry]] = {}
    for clip in sorted(clips, key=lambda clip: clip.id):
        for person in clip.people:
            by_person.setdefault(person, []).append(clip)
    return [*_warnings_of_folders(by_person), *_warnings_of_voices(by_person)]


def _warnings_of_folders(
    by_person: Mapping[str, Sequence[ClipEntry]],
) -> Iterator[RecordingWarning]:
    for person, clips in by_person.items():
        folders = Counter(_folder_of(clip) for clip in clips)
        if len(folders) == 1 or _has_own_folder(person, folders, by_person):
            continue
        above = posixpath.commonpath(folders)
        counts = [
            f"{posixpath.relpath(folder, above)} ({count})"
            for folder, count in folders.most_common(FOLDERS_SHOWN)
        ]
        more = len(folders) - len(counts)
        if more > 0:
            counts.append(f"{more} more")
        detail = f"{person} in {', '.join(counts)}"
        yield RecordingWarning(clips[0].id, clips[0].source, SEVERAL_FOLDERS, detail)


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
        clips_by_source = alone[person]
        if len(clips_by_source) < LEAST_LISTENED:
            continue
        chosen = sorted(clips_by_source, key=rank)[:MOST_LISTENED]
        found = [pitch for pitch in map(_pitch_hz, chosen) if pitch is not None]
        groups = two_groups_hz(found)
        if groups is None:
            continue
        low, high = groups
        detail = f"{person}: about {low:.0f} Hz and about {high:.0f} Hz"
        first = clips_by_source[min(chosen)]
        yield RecordingWarning(first.id, first.source, SEVERAL_VOICES, detail)


def two_groups_hz(pitches_hz: Sequence[float]) -> tuple[float, float] | None:
    """Tell whether pitches fall into two groups as far apart as those of two people.

    Returns:
        The geometric mean of each group, in Hz; None where there is one group, or too few pitches.
    """
    if len(pitches_hz) < LEAST_LISTENED:
        return None
    ordered = np.sort(np.log2(pitches_hz))
    smallest = max(2, math.ceil(SMALLEST_GROUP * len(ordered)))
    cuts = range(smallest, len(ordered) - smallest + 1)
    best = max(cuts, key=lambda cut: _distance(ordered[:cut], ordered[cut:])[1])
    low, high = ordered[:best], ordered[best:]
    octaves, spreads = _distance(low, high)
    if octaves < APART_OCTAVES or spreads < APART_SPREADS:
        return None
    return float(2 ** low.mean()), float(2 ** high.mean())


def _distance(low: Pitches, high: Pitches) -> tuple[float, float]:
    """Measure how far two groups are apart: in octaves, and in spreads within them."""
    octaves = float(high.mean() - low.mean())
    squares = float(np.square(low - low.mean()).sum() + np.square(high - high.mean()).sum())
    spread = math.sqrt(squares / (len(low) + len(high) - 2))
    return octaves, octaves / max(spread, LEAST_SPREAD_OCTAVES)


def _pitch_hz(source: str) -> float | None:
    """Measure the pitch of a recording's beginning, where it can be read."""
    try:
        with StoragePath.of(source).fetched() as path:
            waveform = decode(path, PITCH_RATE_HZ, 0.0, LISTENED_S, where=source)
    except RecordingError:  # it is silent at its beginning
        return None
    return median_pitch_hz(waveform.samples)

"""Who recurs over a corpus: ``Anna:`` at the head of many recordings' texts is a person.

One recording's text often does not tell, where each recording is one turn. So all texts are looked
at before any is read for its turns, and each recording keeps the tags that concern it; a recording
is encoded anew only when these change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from vibesweep.corpus.preprocess.files import STORE_THREADS
from vibesweep.corpus.recordings import Recording
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.text.speaker_tags import Found
from vibesweep.corpus.text.tag_forms import Form
from vibesweep.corpus.text.turns import possible_speakers, text_of
from vibesweep.storage.addresses import is_uri

LEAST_SHARE = 0.1
"""Of the recordings; words with a colon that open fewer of them recur by chance."""


def with_recurring_tags(recordings: Sequence[Recording]) -> list[Recording]:
    """Note in each recording which tags of its text are people by their recurrence.

    A text that cannot be read has none; what is wrong with it is told when it is read for its
    turns.
    """
    found = [possible_speakers(text) for text in _texts(recordings)]
    people = _recurring(found)
    noted = []
    for recording, tags in zip(recordings, found, strict=True):
        own = sorted(people & tags.keys())
        noted.append(replace(recording, recurring_tags=tuple(own)) if own else recording)
    return noted


def _recurring(found: Sequence[Mapping[str, Found]]) -> set[str]:
    """Find tags that stand in several texts: in brackets, or with a colon in a good share."""
    brackets: Counter[str] = Counter()
    names: Counter[str] = Counter()
    small: Counter[str] = Counter()
    for tags in found:
        for tag, first in tags.items():
            if not first.is_head:
                brackets[tag] += 1
            elif first.form == Form.NAME:
                names[tag] += 1
            else:
                small[tag] += 1
    people = _several(brackets)
    for heads, fewest in ((_several(names), 1), (_several(small), 2)):
        opened = sum(not heads.isdisjoint(tags) for tags in found)
        if len(heads) >= fewest and opened >= LEAST_SHARE * len(found):
            people |= heads
    return people


def _several(counts: Counter[str]) -> set[str]:
    return {tag for tag, count in counts.items() if count > 1}


def _texts(recordings: Sequence[Recording]) -> Iterator[str]:
    """Yield the recordings' texts; where any lies in a store, many are read at a time.

    Threads would slow local files down.
    """
    if not any(is_uri(recording.text) for recording in recordings):
        yield from map(_text_or_nothing, recordings)
        return
    with ThreadPoolExecutor(STORE_THREADS) as pool:
        yield from pool.map(_text_or_nothing, recordings)


def _text_or_nothing(recording: Recording) -> str:
    try:
        return text_of(recording)
    except RecordingError:
        return ""

"""Which held-out texts models are judged by, and the recordings that they are compared with.

Texts come from shards, whose held-out split no trial has seen, or from a corpus of recordings, less
what a model was trained on. The choice depends on the recordings' names alone, so that all models
say the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vibesweep.config import CorpusSettings
from vibesweep.config.corpus import EDGE_SILENCE_S
from vibesweep.corpus.ingest import decode, open_recording, read_metadata
from vibesweep.corpus.preprocess.recurring_tags import with_recurring_tags
from vibesweep.corpus.preprocess.trimming import Trim
from vibesweep.corpus.recordings import Recording, Turn
from vibesweep.corpus.rejects import RecordingError
from vibesweep.corpus.shards.manifest import MANIFEST_FILE, read_table
from vibesweep.corpus.shards.ranks import rank
from vibesweep.corpus.sound.levels import at_level
from vibesweep.corpus.text.scripts import language_of
from vibesweep.corpus.text.turns import read_turns
from vibesweep.errors import CorpusError
from vibesweep.quality.alignment import MEL
from vibesweep.quality.recognition import ENGLISH
from vibesweep.quality.scorer import Passage, Sound, text_of
from vibesweep.storage import StorageAddress, StoragePath

SHORTEST_S, LONGEST_S = 1.2, 8.0
"""Length of the recordings that are chosen: long enough to be understood, short enough to wait."""
MOST_S = CorpusSettings().max_duration_s
"""A longer recording is not decoded: it would be cut into clips, and no model says it at once."""
MOST_TEXTS = 40
"""Sentences among which the recognizer has to find the one that is said, unless more are said."""
SHARD_COLUMNS = (
    *("id", "split", "recording", "source"),
    *(f"turns.list.element.{name}" for name in ("tag", "speaker", "language", "text")),
)


@dataclass(frozen=True)
class Source:
    """A recording that has not been decoded yet.

    Attributes:
        id: of the recording.
        audio: its address.
        turns: what is said.
        people: who each tag is, as pairs.
        language: of all turns; empty where there are several.
        held_out: whether no trial of the sweep has seen it.
    """

    id: str
    audio: str
    turns: tuple[Turn, ...]
    people: tuple[tuple[str, str], ...]
    language: str
    held_out: bool = True

    @property
    def text(self) -> str:
        """All that is said, without tags."""
        return text_of(self.turns)


@dataclass(frozen=True, eq=False)
class Passages:
    """What models say, and what else is said in the corpus.

    Attributes:
        passages: what they say.
        english: English texts, the passages' first, among which one is to be recognized.
    """

    passages: tuple[Passage, ...]
    english: tuple[str, ...]


def choose_passages(
    corpus: StorageAddress, language: str, count: int, trained_on: Collection[str] = ()
) -> Passages:
    """Choose held-out texts and decode their recordings.

    Args:
        corpus: a folder of shards, or of recordings.
        language: of recordings' texts, as eSpeak NG names it.
        count: how many texts, if there are as many.
        trained_on: addresses of recordings that are not held out.

    Raises:
        CorpusError: nothing is held out, or none of it can be decoded.
        ShardsError: the shards cannot be read.
        StorageError: the store cannot be reached.
    """
    place = StoragePath.of(corpus)
    if (place / MANIFEST_FILE).is_file():
        sources = sources_in_shards(place)
    else:
        sources = list(sources_in_recordings(place, language, trained_on))
    ranked = sorted(
        sources,
        key=lambda source: rank(source.id),
    )
    held_out = [source for source in ranked if source.held_out]
    passages = _decoded(held_out, ranked, count)
    if not passages:
        found = f"none of {len(held_out)} held-out recordings can be compared with"
        fix = "give a corpus that the model was not trained on, with its sound files in place"
        raise CorpusError(found, where=str(place), fix=fix)
    said = dict.fromkeys(_english(passages))
    others = [text for text in dict.fromkeys(_english(ranked)) if text not in said]
    room = max(MOST_TEXTS - len(said), 0)
    return Passages(tuple(passages), (*said, *others[:room]))


def sources_in_shards(shards: StoragePath) -> list[Source]:
    """List the recordings of shards that are whole clips: of others only a stretch was seen."""
    table = read_table(shards, None, SHARD_COLUMNS)
    sources = []
    for row in table.to_pylist():
        is_whole = row["id"] == row["recording"]
        if is_whole and row["source"]:
            source = _source_of(row)
            sources.append(source)
    return sources


def sources_in_recordings(
    corpus: StoragePath, language: str, trained_on: Collection[str]
) -> Iterator[Source]:
    """Yield the recordings of a corpus; those whose text cannot be read are left out."""
    metadata = read_metadata(corpus)
    for recording in with_recurring_tags(metadata.recordings):
        try:
            turns = read_turns(recording).turns
        except RecordingError:
            continue
        languages = [language_of(turn.text, language) for turn in turns]
        yield Source(
            id=recording.id,
            audio=recording.audio,
            turns=turns,
            people=_people(recording, turns),
            language=_only(languages),
            held_out=recording.audio not in trained_on,
        )


def recording_of(source: Source) -> Sound:
    """Decode a recording, without long silence at its ends, at the usual level.

    Raises:
        RecordingError: it cannot be decoded.
        OSError: it is not there.
    """
    rate_hz = MEL.sample_rate_hz
    place = StoragePath.of(source.audio)
    with place.fetched() as path:
        waveform = decode(path, rate_hz, where=source.audio)
    trim = Trim.of(waveform.activity, EDGE_SILENCE_S)
    samples = trim.applied(waveform.samples, rate_hz)
    levelled = at_level(
        samples,
        MEL.level_dbfs,
        found=waveform.level_dbfs,
    )
    return Sound(levelled, rate_hz)


def _decoded(sources: Sequence[Source], everything: Sequence[Source], count: int) -> list[Passage]:
    """Decode the first recordings of a handy length, then the shortest others."""
    handy: list[tuple[float, Source]] = []
    others: list[tuple[float, Source]] = []
    for source in sources:
        seconds = _seconds(source)
        if seconds is None or seconds > MOST_S:
            continue
        fits = SHORTEST_S <= seconds <= LONGEST_S
        chosen = handy if fits else others
        chosen.append((seconds, source))
        if len(handy) == count:
            break
    others.sort(key=lambda pair: pair[0])
    passages: list[Passage] = []
    for _, source in [*handy, *others]:
        if len(passages) == count:
            break
        passages.extend(_passage(source, everything))
    return passages


def _seconds(source: Source) -> float | None:
    """Return a recording's length; None where it is not there or cannot be read."""
    place = StoragePath.of(source.audio)
    try:
        with place.fetched() as file, open_recording(file, source.audio) as audio:
            return audio.header.duration_s
    except (RecordingError, OSError):
        return None


def _passage(source: Source, everything: Sequence[Source]) -> Iterator[Passage]:
    try:
        recording = recording_of(source)
    except (RecordingError, OSError):
        return
    prompts = {}
    for tag, person in source.people:
        prompt = _prompt(person, source, everything)
        if prompt is not None:
            prompts[tag] = prompt
    people = dict(source.people)
    yield Passage(source.id, source.turns, people, source.language, recording, prompts)


def _prompt(person: str, source: Source, everything: Sequence[Source]) -> str | None:
    """Return another recording on this machine in which the person speaks alone."""
    for other in everything:
        people = {name for _, name in other.people}
        is_alone = people == {person}
        is_another = other.audio != source.audio
        local = StoragePath.of(other.audio).local
        is_here = local is not None and local.is_file()
        if is_alone and is_another and is_here:
            return other.audio
    return None


def _source_of(row: dict[str, Any]) -> Source:
    turns = []
    people = {}
    languages = []
    for found in row["turns"]:
        tag = found["tag"]
        turn = Turn(tag, found["text"])
        turns.append(turn)
        people[tag] = found["speaker"]
        languages.append(found["language"])
    return Source(
        id=row["id"],
        audio=row["source"],
        turns=tuple(turns),
        people=tuple(people.items()),
        language=_only(languages),
        held_out=row["split"] == "val",
    )


def _people(recording: Recording, turns: Sequence[Turn]) -> tuple[tuple[str, str], ...]:
    people = {}
    for turn in turns:
        people[turn.tag] = recording.person(turn.tag)
    return tuple(people.items())


def _only(languages: Sequence[str]) -> str:
    """Return the one language that all turns are in, or nothing."""
    different = set(languages)
    if len(different) > 1:
        return ""
    return languages[0]


def _english(spoken: Sequence[Source | Passage]) -> list[str]:
    """Return what is said in English."""
    return [each.text for each in spoken if each.language == ENGLISH]

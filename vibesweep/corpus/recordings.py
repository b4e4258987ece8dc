"""What a corpus is made of: recordings, the turns that are spoken in them, and when."""

from __future__ import annotations

from dataclasses import dataclass, field

from vibesweep.corpus.rejects import Reject

DEFAULT_TAG = "SPEAKER_A"
MAX_SPEAKERS = 4  # in one clip: VibeVoice's own limit


@dataclass(frozen=True)
class Turn:
    """What one speaker says until the next one begins."""

    tag: str
    text: str


@dataclass(frozen=True)
class Segment:
    """When a turn is spoken."""

    tag: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Recording:
    """One row of a corpus's table.

    Attributes:
        id: unique in the corpus.
        audio: the audio file's address.
        text: the text file's address; empty where the table holds the words.
        words: what is said, where the table holds it.
        num_speakers: how many people speak, where the table says so.
        duration_s: how long the recording is, where the table says so.
        speakers: (tag, person) pairs; a tag that is not among them is taken to be the same person
            across the corpus.
        segments: one for each turn, or none when the times are not known.
        voice_prompts: addresses of recordings of the voices, in the order in which the speakers
            first speak.
        extra: (column, value) pairs of the table's further columns.
        recurring_tags: tags in its text that are people's because they recur over the corpus.
    """

    id: str
    audio: str
    text: str = ""
    words: str | None = None
    num_speakers: int | None = None
    duration_s: float | None = None
    speakers: tuple[tuple[str, str], ...] = ()
    segments: tuple[Segment, ...] = ()
    voice_prompts: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()
    recurring_tags: tuple[str, ...] = ()

    def person(self, tag: str) -> str:
        """Return who a tag is across the corpus."""
        return dict(self.speakers).get(tag, tag)

    def files(self) -> tuple[str, ...]:
        """Return the addresses of its files: audio, text where there is one, voice prompts."""
        text = (self.text,) if self.text else ()
        return (self.audio, *text, *self.voice_prompts)


@dataclass(frozen=True)
class Reading:
    """How a corpus's table was understood.

    Attributes:
        layout: the kind of table.
        columns: what its columns hold, ``-`` for one that is not used.
    """

    layout: str
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Metadata:
    """The recordings of a corpus in the order of its rows, and the rows that cannot be used.

    Attributes:
        recordings: those that can be used as far as the table shows.
        rejects: the other rows.
        reading: how the table was understood.
    """

    recordings: tuple[Recording, ...]
    rejects: tuple[Reject, ...]
    reading: Reading = field(default=Reading("table", ()), compare=False)

    def summary(self) -> str:
        """Say in one line how the table was understood, and how many people speak by it."""
        people: set[str] = set()
        for recording in self.recordings:
            people.update(dict(recording.speakers).values())
        speakers = f"{len(people)} people"
        if not people:
            speakers = "people are the tags in the texts"
        elif len(people) == 1:
            speakers = "1 person"
        columns = ", ".join(self.reading.columns)
        return f"{self.reading.layout}: {columns}; {speakers}"

"""Made-up dialogues: which voices speak, and what they say."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from vibesweep.corpus.demo.sentences import sentence
from vibesweep.corpus.demo.voices import DEMO_VOICES, Voice

MANDARIN_PERIOD = 4  # one dialogue in four is Mandarin
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 0.5
TURNS = (2, 2, 3, 3, 4)
SHORTEST_CLIP_S, LONGEST_CLIP_S = 4.0, 9.0

# Measured on these sentences, at 160 words a minute
LETTER_S = 0.053
HAN_CHARACTER_S = 0.26
MEASURED_RATE_WPM = 160

Turn = tuple[Voice, str]
"""Who speaks, and what."""


@dataclass(frozen=True)
class Dialogue:
    """What is said in one clip: each turn is a voice and a text.

    One turn makes a clip of a single speaker.
    """

    id: str
    turns: tuple[Turn, ...]


def demo_dialogues(
    recordings: int, *, seed: int = 0, voices: Sequence[Voice] = DEMO_VOICES
) -> Iterator[Dialogue]:
    """Yield dialogues of about 4 to 9 s, each by two voices of one language."""
    english = _voices_of("en", voices)
    mandarin = _voices_of("zh", voices)
    assert voices, "no voices"
    for number in range(recordings):
        rng = random.Random(f"dialogue {seed} {number}")
        next_number = number + 1
        is_mandarin = next_number % MANDARIN_PERIOD == 0
        if is_mandarin:
            cast = mandarin or english
        else:
            cast = english or mandarin
        people = min(2, len(cast))
        pair = rng.sample(cast, people)
        name = f"demo_{number:04d}"
        turns = _draw_turns(pair, rng)
        yield Dialogue(name, turns)


def _voices_of(language: str, voices: Sequence[Voice]) -> list[Voice]:
    return [voice for voice in voices if voice.language == language]


def _draw_turns(pair: Sequence[Voice], rng: random.Random) -> tuple[Turn, ...]:
    """Draw turns by the voices in alternation that last about as long as a demo clip should."""
    while True:
        count = rng.choice(TURNS)
        voices = islice(cycle(pair), count)
        turns = [(voice, sentence(voice.language, rng)) for voice in voices]
        duration_s = _estimate_s(turns)
        if SHORTEST_CLIP_S <= duration_s <= LONGEST_CLIP_S:
            return tuple(turns)


def _estimate_s(turns: Sequence[Turn]) -> float:
    """Estimate how long turns take to say, with the pauses between them."""
    pauses = len(turns) - 1
    seconds = pauses * (SHORTEST_PAUSE_S + LONGEST_PAUSE_S) / 2
    for voice, text in turns:
        character_s = HAN_CHARACTER_S if voice.language == "zh" else LETTER_S
        at_measured_rate_s = len(text) * character_s
        seconds += at_measured_rate_s * MEASURED_RATE_WPM / voice.rate_wpm
    return seconds

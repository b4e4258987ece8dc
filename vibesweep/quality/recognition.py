"""What pocketsphinx understands, which knows English.

It is asked twice: to write down what it hears (word error), which works for people's voices and
fails for eSpeak NG's, and to choose one of some sentences, which is sharp for either.

Shapes: ``S`` samples.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from vibesweep.corpus.sound.arrays import Samples
from vibesweep.quality.measures import IDENTIFIED, WORD_ERROR
from vibesweep.quality.scorer import Passage, Sound

ENGLISH = "en"
RATE_HZ = 16_000
EDGE_SAMPLES = RATE_HZ // 4
NOISE_LEVEL = 20
PEAK = 20_000
"""Levels of 16-bit samples: faint noise under the speech, and the speech's peak."""
FEWEST_SENTENCES = 8
"""With fewer to choose from, chance is right too often."""


class ClosedSet:
    """pocketsphinx with a grammar that allows the sentences and nothing else."""

    def __init__(self, sentences: Sequence[str]) -> None:
        """Compile the grammar. Words that are not in the recognizer's dictionary are left out."""
        self._decoder = _decoder(lm=None)
        known = [self._known(sentence) for sentence in sentences]
        distinct = dict.fromkeys(known)
        distinct.pop("", None)
        choices = " | ".join(distinct)
        grammar = f"#JSGF V1.0; grammar g; public <s> = {choices};"
        self._decoder.add_jsgf_string("closed", grammar)
        self._decoder.activate_search("closed")

    def hears(self, waveform: Samples, sentence: str) -> bool:
        """Tell whether, of all sentences, this one is heard in a waveform [S] at 16 kHz.

        Sentences of the same words, such as "Yes." and "Yes!", are the same here.
        """
        heard = _heard(self._decoder, waveform)
        return heard != "" and heard == self._known(sentence)

    def _known(self, sentence: str) -> str:
        """Return a sentence's words that the recognizer knows."""
        known = []
        for word in words_of(sentence):
            if self._decoder.lookup_word(word) is not None:
                known.append(word)
        return " ".join(known)


class RecognitionScorer:
    """Listens to English passages."""

    measures = (IDENTIFIED, WORD_ERROR)

    def __init__(self, texts: Sequence[str]) -> None:
        """Load the recognizer.

        Args:
            texts: English ones that are not to be taken for each other, the passages' first.
        """
        distinct = list(dict.fromkeys(texts))
        self._free = _decoder()
        self._closed: ClosedSet | None = None
        if len(distinct) >= FEWEST_SENTENCES:
            self._closed = ClosedSet(distinct)

    def score(self, spoken: Sound, passage: Passage) -> Mapping[str, float]:
        """Measure both; nothing of another language, or of a text without letters ("42.")."""
        wanted = words_of(passage.text)
        if passage.language != ENGLISH or not wanted:
            return {}
        samples = spoken.at(RATE_HZ)
        written = _heard(self._free, samples)
        heard = words_of(written)
        wrong = edits(heard, wanted)
        scores = {WORD_ERROR.name: wrong / len(wanted)}
        if self._closed is not None:
            is_right = self._closed.hears(samples, passage.text)
            scores[IDENTIFIED.name] = float(is_right)
        return scores


def words_of(text: str) -> list[str]:
    """Return the words of an English text, in small letters."""
    return re.findall(r"[a-z']+", text.lower())


def edits(heard: Sequence[str], wanted: Sequence[str]) -> int:
    """Count the words to replace, leave out or put in to make one of the other (Levenshtein)."""
    none_heard = range(len(wanted) + 1)
    costs = list(none_heard)
    for number, word in enumerate(heard, 1):
        row = [number]
        for place, other in enumerate(wanted):
            differs = word != other
            replaced = costs[place] + differs
            left_out = costs[place + 1] + 1
            put_in = row[place] + 1
            cheapest = min(replaced, left_out, put_in)
            row.append(cheapest)
        costs = row
    return costs[-1]


def _decoder(**options: Any) -> Any:
    from pocketsphinx import Decoder

    return Decoder(logfn="/dev/null", loglevel="FATAL", **options)


def _heard(decoder: Any, waveform: Samples) -> str:
    """Return the words that a decoder hears in a waveform [S] at 16 kHz."""
    # eSpeak's pauses are digital silence, which the recognizer's features cannot take.
    rng = np.random.default_rng(0)
    length = len(waveform) + 2 * EDGE_SAMPLES
    heard = rng.normal(0, NOISE_LEVEL, length)
    loudness = np.abs(waveform)
    peak = loudness.max(initial=0)
    if peak:
        gain = PEAK / peak
        heard[EDGE_SAMPLES:-EDGE_SAMPLES] += waveform * gain
    rounded = heard.astype(np.int16)
    content = rounded.tobytes()
    decoder.start_utt()
    decoder.process_raw(content, full_utt=True)
    decoder.end_utt()
    hypothesis = decoder.hyp()
    if hypothesis is None:
        return ""
    return str(hypothesis.hypstr)

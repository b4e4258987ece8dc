"""A part's way through an encoder: rows with their samples in, the same rows with features out. No ray here.

The samples of clips and voice prompts travel as one array, so that Ray hands them over without a copy. They are 24 kHz and float32,
346 MB an hour: a part has ten minutes, or one long recording.

Shapes: ``S`` samples of all sounds of a part.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vibesweep.config import CorpusSettings
from vibesweep.corpus.preprocess.clips import Row, Sounds
from vibesweep.corpus.preprocess.parts import PartRows, make_part
from vibesweep.corpus.preprocess.plan import Part
from vibesweep.corpus.preprocess.stopwatch import Stopwatch
from vibesweep.corpus.shards.features import Features, OpenEncoder


@dataclass(frozen=True)
class Heard:
    """A part whose rows and voice prompts each name their own of these sounds by number."""

    part: PartRows
    sounds: Sounds

    def to_row(self) -> dict[str, Any]:
        """A row of a Ray dataset."""
        lengths = np.array([len(sound) for sound in self.sounds], np.int64)
        samples = np.concatenate([np.zeros(0, np.float32), *self.sounds])
        return {"part": pickle.dumps(self.part), "lengths": lengths, "samples": samples}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Heard:
        """The part of such a row."""
        edges = np.cumsum(row["lengths"])[:-1]
        sounds = np.split(row["samples"], edges) if len(row["lengths"]) else []
        return cls(
            pickle.loads(row["part"]), sounds
        )  # of our own task, through Ray's memory: no file is unpickled


def hear(part: Part, settings: CorpusSettings) -> Heard:
    """Make a part's rows, and keep the samples."""
    sounds: Sounds = []
    return Heard(make_part(part, settings, sounds), sounds)


def with_features(heard: Heard, encoder: OpenEncoder) -> PartRows:
    """The part with ``latents``, ``acoustic``, ``semantic`` and ``tokens`` of its clips, and ``acoustic`` of its voice prompts."""
    watch, part = Stopwatch(), heard.part
    with watch("features"):
        features = [encoder.encode(sound) for sound in heard.sounds]
        rows = [row | _columns(row, features, encoder) for row in part.rows]
    return replace(part, rows=rows, worked_s=part.worked_s | watch.seconds)


def _columns(row: Row, features: Sequence[Features], encoder: OpenEncoder) -> Row:
    own = features[row["sound"]]
    prompts = [
        prompt | {"acoustic": features[prompt["sound"]].acoustic.tobytes()}
        for prompt in row["voice_prompts"]
    ]
    return {
        "latents": len(own.acoustic),
        "tokens": encoder.count_tokens([(turn["speaker"], turn["text"]) for turn in row["turns"]]),
        "acoustic": own.acoustic.tobytes(),
        "semantic": own.semantic.tobytes(),
        "voice_prompts": prompts,
    }

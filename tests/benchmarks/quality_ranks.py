"""Does each measure of quality rank recording > resynthesis > base > noise on real speech?

    python -m tests.benchmarks.quality_ranks [CORPUS] [SENTENCES]

CORPUS is a folder of recordings of single speakers, each of whom has two or more. The base speaks
in a voice that it has from another recording of the person. A measure fails where any of the three
steps goes the wrong way in the mean over all sentences.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from tests.benchmarks.measure import DATA, Measure, machine
from vibesweep.corpus.sound.arrays import Samples
from vibesweep.corpus.sound.mel import log_mel
from vibesweep.corpus.sound.vocoder import griffin_lim
from vibesweep.corpus.text import phonemize
from vibesweep.models.family import SpeakingSettings
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.speech import sample_latents
from vibesweep.models.registry import ModelRef
from vibesweep.quality.measures import Measure as QualityMeasure
from vibesweep.quality.passages import Source, choose_passages, recording_of
from vibesweep.quality.scorer import Passage, Scorer, Sound
from vibesweep.quality.scorers import make_scorers

CORPUS = DATA / "speech"
SENTENCES = 12
KINDS = ("recording", "resynthesis", "base", "noise")


def noise_like(sound: Sound, seed: int) -> Sound:
    """Make white noise as long and as loud as a sound."""
    rng = np.random.default_rng(seed)
    power = float(np.sqrt(np.mean(sound.samples**2)))
    samples: Samples = rng.normal(0, power, len(sound.samples)).astype(np.float32)
    return Sound(samples, sound.rate_hz)


def mel_of(sound: Sound, model: MelModel) -> torch.Tensor:
    """Return the log-mel [T, M] of a sound at the model's level."""
    return torch.from_numpy(log_mel(sound.at(model.mel.sample_rate_hz), model.mel))


def sound_of(model: MelModel, latents: torch.Tensor, cut: bool = False) -> Sound:
    """Return the sound of latents [P, D]."""
    samples = griffin_lim(model.codec.decode(latents).numpy(), model.mel)
    return Sound(samples, model.mel.sample_rate_hz, cut)


def spoken(model: MelModel, passage: Passage, seed: int) -> Sound:
    """Have the base say a passage in the voice of another recording of its speaker."""
    ((tag, prompt),) = passage.prompts.items()
    person = passage.people[tag]
    source = Source("prompt", prompt, (), ((tag, person),), "")
    latents = model.codec.encode(mel_of(recording_of(source), model))
    (phonemes,) = phonemize([passage.text])
    turns = [(0, model.phonemes.encode_known(phonemes.symbols))]
    voice = latents[: model.shape.prompt_patches]
    sampled = sample_latents(model, turns, [voice], SpeakingSettings(seed=seed))
    return sound_of(model, sampled.latents, sampled.cut)


def sounds_of(model: MelModel, passage: Passage, other: Passage, seed: int) -> dict[str, Sound]:
    """Return the four kinds of one passage; the noise is as long as another one."""
    recording = passage.recording
    resynthesis = sound_of(model, model.codec.encode(mel_of(recording, model)))
    return {
        "recording": recording,
        "resynthesis": resynthesis,
        "base": spoken(model, passage, seed),
        "noise": noise_like(other.recording, seed),
    }


Values = Mapping[str, Mapping[str, list[float]]]
"""By kind and measure: a value for each passage."""


def values_of(model: MelModel, passages: Sequence[Passage], scorers: Sequence[Scorer]) -> Values:
    """Score all kinds of all passages."""
    values: dict[str, dict[str, list[float]]] = {kind: defaultdict(list) for kind in KINDS}
    for number, passage in enumerate(passages):
        other = passages[number - 1]
        for kind, sound in sounds_of(model, passage, other, number).items():
            for scorer in scorers:
                for name, value in scorer.score(sound, passage).items():
                    values[kind][name].append(value)
    return values


def means_of(values: Values, name: str) -> list[float]:
    """Return the mean of a measure for each kind, NaN where no passage has one."""
    found = [values[kind][name] for kind in KINDS]
    return [statistics.fmean(each) if each else float("nan") for each in found]


def ranks(measure: QualityMeasure, means: Sequence[float]) -> bool:
    """Tell whether no kind is nearer to the ideal than the better kind before it."""
    distances = [measure.distance(mean) for mean in means if not np.isnan(mean)]
    return all(better <= worse for better, worse in pairwise(distances))


def main() -> None:
    """Speak, score, and print the table and a line of JSON for each measure."""
    corpus = Path(sys.argv[1]) if len(sys.argv) > 1 else CORPUS
    count = int(sys.argv[2]) if len(sys.argv) > 2 else SENTENCES
    model = ModelRef.parse("mel-small").load()
    assert isinstance(model, MelModel)
    chosen = choose_passages(corpus, "en-us", count)
    passages = [passage for passage in chosen.passages if passage.prompts]
    scorers = make_scorers(chosen.english).scorers
    values = values_of(model, passages, scorers)
    table = Table("measure", *KINDS, "ranks", title=f"{len(passages)} sentences of {corpus.name}")
    lines = []
    for scorer in scorers:
        for measure in scorer.measures:
            means = means_of(values, measure.name)
            ranked = ranks(measure, means)
            table.add_row(measure.title, *[f"{mean:.3g}" for mean in means], str(ranked))
            lines.append(Measure(f"ranks: {measure.name}", float(ranked), 1.0))
    console = Console(width=120)
    console.print(machine())
    console.print(table)
    for line in lines:
        print(line.json_line())


if __name__ == "__main__":
    main()

"""Do real recordings become voices that are understood? The shipped space, run and listened to.

    python -m tests.benchmarks.real_voice [--corpus DIR] [--dialogues DIR]

The sweep is run as a user runs it, to its end and once more with Ctrl-C in the third minute, and so
is the first command. The winners, and the base with the same voice prompts, then say 40 sentences
of no corpus in the voices of the corpus' people; pocketsphinx and Resemblyzer listen.

The stop error is that of the corpus' held-out texts, against their recordings. The pace is in it
too, which a text does not tell; so it is also measured where a model would end the recordings.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import soundfile
import torch

from tests.benchmarks.base_speaks import SENTENCES
from tests.benchmarks.measure import DATA, Measure, print_measures
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.shards.manifest import read_table
from vibesweep.corpus.sound.arrays import Floats, Samples
from vibesweep.corpus.sound.rates import LATENT_RATE_HZ
from vibesweep.corpus.text.turns import read_turns
from vibesweep.delivery.sample import TURN_COLUMNS
from vibesweep.delivery.synthesize import synthesize
from vibesweep.models.family import SpeakingSettings
from vibesweep.models.mel.batch import MelBatch
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.speech import STOP_THRESHOLD
from vibesweep.models.registry import ModelRef
from vibesweep.quality.listening import base_voice
from vibesweep.quality.measures import IDENTIFIED, WORD_ERROR
from vibesweep.quality.passages import choose_passages
from vibesweep.quality.recognition import RecognitionScorer
from vibesweep.quality.scorer import Passage, Sound
from vibesweep.storage import StoragePath
from vibesweep.sweep.record.folder import SWEEPS, SweepFolder
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "search_spaces" / "lr_opt.py"
MODEL = "mel-small"
WHOLE_S, SHORT_S = 600.0, 180.0
STOPPED_S = 150.0
"""When Ctrl-C is typed for a voice within SHORT_S: the lanes end and it is exported then."""
SILENT_PATCHES = 15
"""Two seconds after a recording, in which the model is to find that all is said."""
PART = 0.4
"""The share of two like turns that is surely the first speaker's, or the last one's."""
TAG = "SPEAKER_A"


@dataclass(frozen=True)
class Swept:
    """A sweep that has been run, its voice, and how long it took to get there."""

    folder: SweepFolder
    voice: ModelRef
    seconds: float


def run(work: Path, name: str, corpus: str, stopped_s: float | None = None) -> Swept:
    """Run the shipped space as a user does; Ctrl-C after ``stopped_s`` seconds, then export."""
    folder = SweepFolder(StoragePath.of(work / SWEEPS / name))
    began = time.monotonic()
    process = start("run", SPACE, "--corpus", corpus, "--name", name, "--work", work)
    voice = str(folder.best)
    try:
        process.wait(stopped_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        process.wait()
        voice = str(work / f"{name}_voice")
        start("export", folder.place, "--out", voice).wait()
    seconds = time.monotonic() - began
    return Swept(folder, ModelRef.parse(voice), seconds)


def start(*arguments: object) -> subprocess.Popen[bytes]:
    """Type a command."""
    typed = [str(argument) for argument in arguments]
    return subprocess.Popen([sys.executable, "-m", "vibesweep", *typed], cwd=ROOT)


def say(model: ModelRef, turns: Sequence[Turn], people: Mapping[str, str], seed: int) -> Sound:
    """Have a model say turns in people's voices."""
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as folder:
        file = Path(folder) / "spoken.wav"
        synthesize(model, turns, file, voices=people, settings=SpeakingSettings(seed=seed))
        samples, rate_hz = soundfile.read(file, dtype="float32")
    return Sound(samples, rate_hz)


class Listener:
    """pocketsphinx for words, Resemblyzer for people."""

    def __init__(self, corpus: Path) -> None:
        """Load both, and learn the corpus' people by their recordings."""
        from resemblyzer import VoiceEncoder, preprocess_wav

        self._recognizer = RecognitionScorer(SENTENCES)
        self._encoder = VoiceEncoder("cpu", verbose=False)
        heard: dict[str, list[Floats]] = {}
        for recording in read_metadata(corpus).recordings:
            tags = [turn.tag for turn in read_turns(recording).turns]
            embedding = self._encoder.embed_utterance(preprocess_wav(recording.audio))
            heard.setdefault(recording.person(tags[0]), []).append(embedding)
        self.people = {name: mean_of(found) for name, found in heard.items()}

    def words(self, sound: Sound, text: str) -> Mapping[str, float]:
        """Return whether a text was told from the others, and its word error."""
        turns = (Turn(TAG, text),)
        return self._recognizer.score(sound, Passage("", turns, {}, "en", sound, {}))

    def embed(self, samples: Samples, rate_hz: int) -> Floats:
        """Return the voice of samples [S]."""
        embedding: Floats = self._encoder.embed_utterance(Sound(samples, rate_hz).at(16_000))
        return embedding

    def nearest(self, embedding: Floats, among: Sequence[str]) -> str:
        """Name the person whose voice is nearest."""
        return max(among, key=lambda name: float(embedding @ self.people[name]))


def mean_of(embeddings: Sequence[Floats]) -> Floats:
    """Return the mean of embeddings, of length 1."""
    mean = np.mean(embeddings, axis=0)
    unit: Floats = mean / np.linalg.norm(mean)
    return unit


@dataclass(frozen=True)
class Heard:
    """What was heard of a model that said all sentences: how many were identified, and so on."""

    identified: float
    word_error: float
    right_people: int


def hear(model: ModelRef, listener: Listener) -> Heard:
    """Have a model say the sentences, the people by turns."""
    people = list(listener.people)
    scores: list[Mapping[str, float]] = []
    voices: dict[str, list[Floats]] = {name: [] for name in people}
    for number, text in enumerate(SENTENCES):
        person = people[number % len(people)]
        sound = say(model, [Turn(TAG, text)], {TAG: person}, number)
        scores.append(listener.words(sound, text))
        voices[person].append(listener.embed(sound.samples, sound.rate_hz))
    right = [listener.nearest(mean_of(found), people) == name for name, found in voices.items()]
    errors = [score[WORD_ERROR.name] for score in scores]
    identified = sum(score[IDENTIFIED.name] for score in scores)
    return Heard(identified, statistics.fmean(errors), sum(right))


def stop_error(swept: Swept) -> float:
    """Return how many patches speech of held-out texts is too long or too short, in the mean."""
    shards = swept.folder.read().shards
    found = choose_passages(shards, "en-us", len(SENTENCES))
    errors = []
    for number, passage in enumerate(found.passages):
        sound = say(swept.voice, passage.turns, passage.people, number)
        errors.append(abs(sound.seconds - passage.recording.seconds) * LATENT_RATE_HZ)
    return statistics.fmean(errors)


def stop_error_in_recordings(swept: Swept) -> float:
    """Return how far from a held-out recording's end the model would stop, in the mean, in patches.

    It hears the recording itself, at whose pace it then is, and silence after it.
    """
    context = WorkerContext.open(swept.voice, swept.folder.read().shards, World())
    model = cast(MelModel, context.base.eval())
    latents = torch.cat([clip.latents for clip in context.voice_clips])
    levels = model.codec.decode(latents).view(len(latents), -1).mean(1)
    silence = latents[levels.argmin()].expand(SILENT_PATCHES, -1)
    errors = []
    for clip in context.validation_clips:
        longer = replace(clip, latents=torch.cat([clip.latents, silence]))
        batch = context.collator.validation([longer], 1)
        errors.append(abs(_stop_in(model, batch) - clip.patches))
    return statistics.fmean(errors)


@torch.inference_mode()
def _stop_in(model: MelModel, batch: MelBatch) -> int:
    """Return after how many patches of the one clip of a batch the model would stop."""
    states = model.states(batch)[batch.spoken_indices]
    stops = model.stop(states).softmax(-1)[:, 1] > STOP_THRESHOLD
    stops[-1] = True
    return int(stops.nonzero()[0]) + 1


def told_apart(model: ModelRef, dialogues: Path, listener: Listener) -> float:
    """Count the dialogues whose first two people are told apart when they say a turn each."""
    count = 0
    for number, recording in enumerate(read_metadata(dialogues).recordings):
        tags = list(dict.fromkeys(turn.tag for turn in read_turns(recording).turns))[:2]
        people = {tag: recording.person(tag) for tag in tags}
        turns = [Turn(tag, SENTENCES[2 * number + place]) for place, tag in enumerate(tags)]
        sound = say(model, turns, people, number)
        part = round(PART * len(sound.samples))
        ends = (sound.samples[:part], sound.samples[-part:])
        pair = list(people.values())
        heard = [listener.nearest(listener.embed(end, sound.rate_hz), pair) for end in ends]
        count += heard == pair
    return float(count)


def sample_error(swept: Swept) -> float:
    """Return the free word error of the sample that a sweep ends with."""
    clips = read_table(swept.folder.read().shards, "val", ["duration_s", *TURN_COLUMNS]).to_pylist()
    shortest: dict[str, Any] = min(clips, key=lambda clip: float(clip["duration_s"]))
    text = " ".join(turn["text"] for turn in shortest["turns"])
    samples, rate_hz = soundfile.read(str(swept.folder.sample), dtype="float32")
    sound = Sound(samples, rate_hz)
    passage = Passage("", (Turn(TAG, text),), {}, "en", sound, {})
    return RecognitionScorer([text]).score(sound, passage)[WORD_ERROR.name]


def measured(corpus: Path, dialogues: Path, work: Path) -> list[Measure]:
    """Run the three sweeps, listen, and return the figures, the headline last."""
    first = run(work, "first", "demo")
    short = run(work, "short", str(corpus), STOPPED_S)
    whole = run(work, "whole", str(corpus))
    listener = Listener(corpus)
    tuned = hear(whole.voice, listener)
    base = base_voice(MODEL, whole.voice, work / "base").model
    untouched = hear(base, listener)
    early = hear(short.voice, listener)
    apart = told_apart(whole.voice, dialogues, listener)
    print(json.dumps({"first_s": first.seconds, "people": len(listener.people)}))
    return [
        Measure("first command, seconds", first.seconds, 300.0, at_least=False),
        Measure("first command's sample, free word error", sample_error(first), 0.25, False),
        Measure("short sweep, seconds", short.seconds, SHORT_S, at_least=False),
        Measure("identified of 40, short sweep", early.identified, 30.0),
        Measure("identified of 40, untouched base", untouched.identified, 25.0),
        Measure("free word error, untouched base", untouched.word_error),
        Measure("sweep, seconds", whole.seconds, WHOLE_S, at_least=False),
        Measure("free word error, tuned", tuned.word_error, 0.35, at_least=False),
        Measure("people whose voice is nearest their own", tuned.right_people, 10.0),
        Measure("mean stop error, patches", stop_error(whole), 1.0, at_least=False),
        Measure("the same in the recordings", stop_error_in_recordings(whole), 1.0, at_least=False),
        Measure("dialogues told apart, of 12", apart, 12.0),
        Measure("identified of 40, sweep's winner", tuned.identified, 38.0),
    ]


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, default=DATA / "speech")
    parser.add_argument("--dialogues", type=Path, default=DATA / "dialogues")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vibesweep-") as folder:
        print_measures("real voices", measured(asked.corpus, asked.dialogues, Path(folder)))


if __name__ == "__main__":
    main()

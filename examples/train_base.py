"""Train a base of the family ``mel`` from nothing, on speech that eSpeak NG makes from text files.

    python examples/train_base.py OUT --minutes 12 --texts northanger.txt northsouth.txt

It needs a GPU and the extra ``[mel]``. The data goes the way of any corpus: sentences are spoken
into the corpus layout, preprocessed into shards, and the shards train the model. Its phoneme table
and its PCA are fitted here and never again. OUT/base is then a bundle to tune.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from vibesweep.config import CorpusSettings, MelSettings, TrialSettings
from vibesweep.corpus.demo import Dialogue, write_corpus
from vibesweep.corpus.demo.sentences import sentence
from vibesweep.corpus.demo.voices import BASE_VOICES
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.corpus.shards.manifest import read_clips
from vibesweep.corpus.shards.schema import Clip
from vibesweep.corpus.shards.statistics import Moments, added_up
from vibesweep.corpus.sound.rates import patch_rate_hz
from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.models.bundle import save_bundle
from vibesweep.models.clips import EncodedClip
from vibesweep.models.losses import Losses, LossNormalizer
from vibesweep.models.mel.batch import MelBatch, MelCollator
from vibesweep.models.mel.encoder import MEL, PHONEMES, MelEncoder
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.shape import MelShape
from vibesweep.training.data.index import read_index
from vibesweep.training.data.step_plan import StepPlan
from vibesweep.training.optim.optimizers import build_optimizer
from vibesweep.training.optim.schedules import SCHEDULES, share_of_peak
from vibesweep.training.validation import validation_batches, validation_loss
from vibesweep.training.workers import World

BATCH_CLIPS = 160
PEAK_LEARNING_RATE = 1.5e-3
WARMUP_STEPS = 500
EMA_DECAY = 0.999
STOP_WEIGHT = 0.2
LARGEST_GRAD_NORM = 1.0
LOG_EVERY_STEPS = 500
MOST_EPOCHS = 400
"""More than the training reaches: it ends with the time."""
TIME_TICKS = 10_000
"""The learning rate falls with the time, in so many ticks."""
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LOADERS = 8
DIALOGUE_SHARE = 0.3
EVERYDAY_ONE_IN = 6
"""One English sentence of so many is everyday speech; the others come from books."""
SHORTEST_WORDS, LONGEST_WORDS = 3, 14
VAL_FRACTION = 0.02
VOICE_STRIDE = 25
"""Every so many voices of the base, one prompt is shipped with it: people unlike each other."""
RARE_WORDS = (
    "Utrecht",
    "Achtung",
    "Bach",
    "the loch",
    "Ahmed",
    "croissants",
    "the Reich",
    "Beresford",
    "Maastricht",
    "Van Rijn",
    "nacht",
)
"""Words whose phonemes English books hardly have. A base refuses texts with a phoneme it lacks."""
CARRIERS = (
    "We talked about {}.",
    "Have you heard of {}?",
    "{} was in the news.",
    "I like {}, and so does my sister.",
    "Tell me of {}.",
)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What the shards hold, encoded.

    Attributes:
        clips: of the training split, in the order of the step plan's index.
        validation_clips: of the validation split.
        plan: which clips make which step.
    """

    clips: list[EncodedClip]
    validation_clips: list[EncodedClip]
    plan: StepPlan


# Speech


def book_sentences(texts: Sequence[Path]) -> list[str]:
    """Return the books' clauses of a few words, each once."""
    whole = " ".join(path.read_text(encoding="utf-8", errors="replace") for path in texts)
    ascii_only = re.sub("[“”]", "", whole).replace("’", "'").replace("—", ", ")
    one_line = re.sub(r"\s+", " ", ascii_only)
    clauses = [part.strip() for part in re.split(r"(?<=[.!?;:,]) ", one_line)]
    return list(dict.fromkeys(clause for clause in clauses if is_speakable(clause)))


def is_speakable(clause: str) -> bool:
    """Return whether a clause has a few words, and only letters and punctuation."""
    words = len(clause.split())
    plain = re.fullmatch(r"[A-Za-z',.!?;: -]+", clause) is not None
    return plain and SHORTEST_WORDS <= words <= LONGEST_WORDS


def made_up_sentences(language: str, count: int) -> list[str]:
    """Return sentences of the demo corpus's grammar, each once; the demo corpus draws others."""
    rng = random.Random(f"base {language}")
    found: dict[str, None] = {}
    while len(found) < count:
        found[sentence(language, rng)] = None
    return list(found)


def english_sentences(texts: Sequence[Path], count: int, rng: random.Random) -> list[str]:
    """Return so many sentences of the books and of everyday speech, and the rare words besides."""
    books = book_sentences(texts)
    rng.shuffle(books)
    everyday = made_up_sentences("en", count // EVERYDAY_ONE_IN)
    rare = [carrier.format(word) for carrier in CARRIERS for word in RARE_WORDS] * 2
    chosen = books[: count - len(everyday)] + everyday + rare
    rng.shuffle(chosen)
    return chosen


def dialogues(sentences: Sequence[str], language: str, rng: random.Random) -> Iterator[Dialogue]:
    """Give the sentences to the voices of a language.

    Most clips hold one turn; the others hold two or three turns of two people.
    """
    voices = [voice for voice in BASE_VOICES if voice.language == language]
    remaining = list(sentences)
    number = 0
    while remaining:
        speakers = rng.sample(voices, 2)
        wanted = rng.choice((2, 3)) if rng.random() < DIALOGUE_SHARE else 1
        count = min(len(remaining), wanted)
        turns = [(speakers[i % 2], remaining.pop()) for i in range(count)]
        yield Dialogue(f"{language}_{number:05d}", tuple(turns))
        number += 1


def make_shards(arguments: argparse.Namespace) -> Path:
    """Speak a corpus and preprocess it; return the folder of shards."""
    rng = random.Random(0)
    english = english_sentences(arguments.texts, arguments.english, rng)
    mandarin = made_up_sentences("zh", arguments.mandarin)
    spoken = [*dialogues(english, "en", rng), *dialogues(mandarin, "zh", rng)]
    corpus = arguments.out / "corpus"
    shards = Path(arguments.out / "shards")
    began = time.perf_counter()
    write_corpus(corpus, spoken, processes=arguments.processes)
    print(f"{len(spoken)} clips spoken, {time.perf_counter() - began:.0f} s", flush=True)
    encoder = MelEncoder(MelSettings(), language="en-us")
    preprocess(corpus, shards, encoder, CorpusSettings(val_fraction=VAL_FRACTION))
    return shards


# The model and its clips


def fit_model(clips: Sequence[Clip]) -> tuple[MelModel, float]:
    """Make a model whose phoneme table and codec are fitted on clips of the shards.

    Returns:
        The model, untrained, and the share of the log-mels' variance that its latents keep.
    """
    turns = [turn for clip in clips for turn in clip.turns]
    table = PhonemeTable.fit(turn.columns[PHONEMES] for turn in turns)
    model = MelModel(MelShape(), table, MelSettings())
    training = [clip for clip in clips if clip.split == "train"]
    moments = added_up(patch_moments(model, clip) for clip in training)
    return model, model.codec.fit(moments)


def patch_moments(model: MelModel, clip: Clip) -> Moments:
    """Return the moments of a clip's log-mel patches, with all products of pairs."""
    frames = clip.columns[MEL].reshape(-1, model.mel.n_mels).astype(np.float32)
    patches = model.codec.patches(torch.from_numpy(frames))
    return Moments.of(patches.numpy(), pairs=True)


def encode(shards: Path) -> tuple[MelModel, TrainingData, float]:
    """Fit a model on the shards and encode them; the last value is the variance kept."""
    clips = list(read_clips(shards))
    model, kept = fit_model(clips)
    training = [model.encode(clip) for clip in clips if clip.split == "train"]
    validation = [model.encode(clip) for clip in clips if clip.split == "val"]
    plan = StepPlan(read_index(shards, model), seed=0, batch_clips=BATCH_CLIPS)
    return model, TrainingData(training, validation, plan), kept


def shipped_voices(model: MelModel, clips: list[EncodedClip]) -> dict[str, torch.Tensor]:
    """Return voice prompts of a few people, so that the untuned base can be heard."""
    prompts = model.voice_prompts(clips)
    names = [voice.name for voice in BASE_VOICES[::VOICE_STRIDE]]
    return {name: prompts[name] for name in names if name in prompts}


# Training


class CollatedSteps(Dataset[tuple[MelBatch, LossNormalizer]]):
    """Batches of as many epochs as a training could use, made in the data loader's processes."""

    def __init__(self, data: TrainingData, collator: MelCollator) -> None:
        """Take the steps of the plan's first epochs."""
        self._clips = data.clips
        self._collator = collator
        self._steps = list(islice(data.plan.steps(0), MOST_EPOCHS * data.plan.epoch_steps))

    def __len__(self) -> int:
        """Return how many steps there are."""
        return len(self._steps)

    def __getitem__(self, index: int) -> tuple[MelBatch, LossNormalizer]:
        """Collate one step."""
        _, epoch, numbers = self._steps[index]
        clips = [self._clips[number] for number in numbers]
        normalizer = LossNormalizer.of([clip.patches for clip in clips])
        return self._collator.training(clips, 0, epoch), normalizer


def learning_rate(step: int, share_of_time: float) -> float:
    """Return the rate of a step: a warm-up in steps, and a cosine over the time."""
    warm = min((step + 1) / WARMUP_STEPS, 1.0)
    tick = int(share_of_time * TIME_TICKS)
    return PEAK_LEARNING_RATE * warm * share_of_peak(SCHEDULES["cosine"], tick, TIME_TICKS)


def train(
    model: MelModel, data: TrainingData, minutes: float, log: Path
) -> tuple[MelModel, dict[str, float]]:
    """Train for so many minutes and return the averaged model, with figures about the training."""
    collator = model.collator(data.clips)
    loader = DataLoader(
        CollatedSteps(data, collator),
        batch_size=None,
        num_workers=min(LOADERS, os.cpu_count() or 1),
        pin_memory=DEVICE == "cuda",
        prefetch_factor=8,
    )
    model.to(DEVICE).train()
    average = get_ema_multi_avg_fn(EMA_DECAY)  # type: ignore[no-untyped-call]
    averaged = AveragedModel(model, multi_avg_fn=average)
    optimizer = build_optimizer(model, TrialSettings(learning_rate=PEAK_LEARNING_RATE))
    began = 0.0
    step = 0
    loss = torch.zeros(())
    with log.open("w") as lines:
        for step, (batch, normalizer) in enumerate(loader):
            if step == 0:
                began = time.perf_counter()  # the loader's processes take a while to start
            seconds = time.perf_counter() - began
            share_of_time = seconds / (minutes * 60)
            if share_of_time >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(step, share_of_time)
            losses: Losses = model(batch.to(DEVICE))
            loss = normalizer.weighted_loss(losses, 1.0, STOP_WEIGHT)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), LARGEST_GRAD_NORM)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            averaged.update_parameters(model)
            if step % LOG_EVERY_STEPS == 0:
                line = {"step": step, "loss_train": rounded(loss), "seconds": round(seconds, 1)}
                print(line, file=lines, flush=True)
                print(line, flush=True)
    best = cast(MelModel, averaged.module.eval())
    figures = {
        "steps": step,
        "loss_train": rounded(loss),
        "loss_val": round(loss_on(best, data.validation_clips, collator), 4),
        "minutes": minutes,
    }
    return best, figures


def rounded(loss: torch.Tensor) -> float:
    """Return a loss as it is logged."""
    return round(loss.item(), 4)


def loss_on(model: MelModel, clips: list[EncodedClip], collator: MelCollator) -> float:
    """Return the validation loss, with the same fixed weights as a trial's."""
    repeats = model.shape.noise_repeats
    batches = validation_batches(collator, clips, DEVICE, repeats, model.stop_weights)
    return validation_loss(model, batches, World(device=DEVICE))


def parsed_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    texts_help = "plain English text files to read aloud"
    parser.add_argument("--texts", type=Path, nargs="+", required=True, help=texts_help)
    parser.add_argument("--english", type=int, default=22_000, help="English sentences")
    mandarin_help = "Mandarin sentences, made by the demo corpus's grammar"
    parser.add_argument("--mandarin", type=int, default=4_000, help=mandarin_help)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def main() -> None:
    """Speak, preprocess, fit, train and save."""
    # TF32: at this size autocast's casts would cost more launches than they save.
    torch.set_float32_matmul_precision("high")
    # cuDNN plans its attention again, for 5 ms, at every batch shape that it meets.
    torch.backends.cuda.enable_cudnn_sdp(False)
    arguments = parsed_arguments()
    shards = make_shards(arguments)
    model, data, kept = encode(shards)
    patches = sum(clip.patches for clip in data.clips)
    hours = patches / patch_rate_hz(model.mel) / 3_600
    count = len(data.clips)
    print(f"{count} clips, {hours:.1f} h encoded, {kept:.3f} of the variance kept", flush=True)
    model, figures = train(model, data, arguments.minutes, arguments.out / "losses.jsonl")
    facts: dict[str, Any] = {
        **figures,
        "hours": round(hours, 1),
        "voices": len(BASE_VOICES),
        "clips": count,
        "variance_kept": round(kept, 3),
        "shape": dataclasses.asdict(model.shape),
    }
    base = arguments.out / "base"
    save_bundle(model.cpu(), shipped_voices(model, data.clips), base, torch.float16)
    (base / "training.json").write_text(json.dumps(facts, indent=1) + "\n")
    print(json.dumps(facts))


if __name__ == "__main__":
    main()

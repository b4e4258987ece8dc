"""Train a base of the family ``mel`` from nothing, on speech that eSpeak NG makes from plain text files. Needs a GPU.

    python examples/train_base.py OUT --minutes 12 --texts northanger.txt northsouth.txt

It takes the way that any corpus takes: sentences are spoken into the corpus layout, preprocessed with Ray Data into shards, and
the shards train the model, whose phoneme table and PCA are fitted here and never again. OUT/base is then a bundle to tune.
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
from itertools import islice
from pathlib import Path
from typing import cast

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from vibesweep.config import CorpusSettings, MelSettings, TrialSettings
from vibesweep.corpus.demo.dialogues import Dialogue, write_corpus
from vibesweep.corpus.demo.sentences import sentence
from vibesweep.corpus.demo.voices import BASE_VOICES
from vibesweep.corpus.preprocess.run import preprocess
from vibesweep.corpus.shards.manifest import read_patch_statistics, read_rows
from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.models.bundle import save_bundle
from vibesweep.models.clips import EncodedClip
from vibesweep.models.losses import VALIDATION_STOP_WEIGHT, Losses, LossNormalizer
from vibesweep.models.mel.batch import MelBatch, MelCollator
from vibesweep.models.mel.model import MelModel, MelShape
from vibesweep.training.data.index import Index, read_index
from vibesweep.training.data.step_plan import StepPlan
from vibesweep.training.optim.optimizers import build_optimizer
from vibesweep.training.optim.schedules import SCHEDULES, share_of_peak

BATCH_CLIPS = 160
PEAK_LEARNING_RATE = 1.5e-3
EMA_DECAY = 0.999
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LOADERS = 8
DIALOGUE_SHARE = 0.3
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
"""Words whose phonemes English books hardly have; a base that never met a phoneme must refuse the texts that hold it."""
CARRIERS = (
    "We talked about {}.",
    "Have you heard of {}?",
    "{} was in the news.",
    "I like {}, and so does my sister.",
    "Tell me of {}.",
)


def book_sentences(texts: Sequence[Path]) -> list[str]:
    """Clauses of 3 to 14 words, each once."""
    whole = " ".join(path.read_text(encoding="utf-8", errors="replace") for path in texts)
    plain = re.sub(r"\s+", " ", re.sub("[“”]", "", whole).replace("’", "'").replace("—", ", "))
    clauses = [part.strip() for part in re.split(r"(?<=[.!?;:,]) ", plain)]
    short = [
        c for c in clauses if 3 <= len(c.split()) <= 14 and re.fullmatch(r"[A-Za-z',.!?;: -]+", c)
    ]
    return list(dict.fromkeys(short))


def made_up_sentences(language: str, count: int) -> list[str]:
    """Sentences of the demo corpus's grammar, each once; the demo corpus draws others."""
    rng = random.Random(f"base {language}")
    found: dict[str, None] = {}
    while len(found) < count:
        found[sentence(language, rng)] = None
    return list(found)


def dialogues(english: list[str], mandarin: list[str], rng: random.Random) -> Iterator[Dialogue]:
    """Deal the sentences out to the voices: most clips hold one turn, the others two or three turns of two people."""
    for language, texts in (("en", english), ("zh", mandarin)):
        voices = [voice for voice in BASE_VOICES if voice.language == language]
        left, number = list(texts), 0
        while left:
            cast = rng.sample(voices, 2)
            turns = [(cast[i % 2], left.pop()) for i in range(min(len(left), _turn_count(rng)))]
            yield Dialogue(f"{language}_{number:05d}", tuple(turns))
            number += 1


def _turn_count(rng: random.Random) -> int:
    return rng.choice((2, 3)) if rng.random() < DIALOGUE_SHARE else 1


class Steps(Dataset[tuple[MelBatch, LossNormalizer]]):
    """Collated steps of as many epochs as a training could use, made in the data loader's processes."""

    def __init__(
        self, clips: list[EncodedClip], collator: MelCollator, plan: StepPlan, epochs: int
    ) -> None:
        """Take the plan's steps of the first epochs."""
        self._clips = clips
        self._collator = collator
        self._steps = list(islice(plan.steps(0), epochs * plan.epoch_steps))

    def __len__(self) -> int:
        """Steps planned."""
        return len(self._steps)

    def __getitem__(self, index: int) -> tuple[MelBatch, LossNormalizer]:
        """Collate one step."""
        _, epoch, numbers = self._steps[index]
        clips = [self._clips[number] for number in numbers]
        normalizer = LossNormalizer.of([clip.patches for clip in clips])
        return self._collator.training(clips, 0, epoch), normalizer


def encode(shards: Path) -> tuple[MelModel, list[EncodedClip], list[EncodedClip], float]:
    """Fit the phoneme table and the codec on the training split and encode everything."""
    rows = list(read_rows(shards))
    table = PhonemeTable.fit(turn.phonemes for row in rows for turn in row.turns)
    model = MelModel(MelShape(), table, MelSettings())
    train = [row for row in rows if row.split == "train"]
    kept = model.codec.fit(read_patch_statistics(shards))
    clips = [model.encode(row) for row in train]
    return model, clips, [model.encode(row) for row in rows if row.split == "val"], kept


def train(
    model: MelModel,
    clips: list[EncodedClip],
    index: Index,
    held_out: list[EncodedClip],
    minutes: float,
    log: Path,
) -> tuple[MelModel, dict[str, float]]:
    """Train for so many minutes, the learning rate falling to nothing with the time; return the averaged model."""
    collator = model.collator(clips)
    processes = min(LOADERS, os.cpu_count() or 1)
    plan = StepPlan(index, seed=0, batch_clips=BATCH_CLIPS)
    steps = Steps(clips, collator, plan, epochs=400)
    loader = DataLoader(
        steps,
        batch_size=None,
        num_workers=processes,
        pin_memory=DEVICE == "cuda",
        prefetch_factor=8,
    )
    model.to(DEVICE).train()
    # torch leaves its helper untyped
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(EMA_DECAY))  # type: ignore[no-untyped-call]
    optimizer = build_optimizer(model, TrialSettings(learning_rate=PEAK_LEARNING_RATE))
    began, step, loss = time.perf_counter(), 0, torch.zeros(())
    with log.open("w") as lines:
        for step, (batch, normalizer) in enumerate(loader):
            elapsed = (time.perf_counter() - began) / (minutes * 60)
            if elapsed >= 1:
                break
            rate = (
                PEAK_LEARNING_RATE
                * min((step + 1) / 500, 1.0)
                * share_of_peak(SCHEDULES["cosine"], int(elapsed * 10_000), 10_000)
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            losses: Losses = model(batch.to(DEVICE))
            loss = normalizer.weighted_loss(losses, 1.0, 0.2)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            averaged.update_parameters(model)
            if step % 500 == 0:
                line = {
                    "step": step,
                    "loss_train": round(loss.item(), 4),
                    "seconds": round(time.perf_counter() - began, 1),
                }
                print(line, file=lines, flush=True)
                print(line, flush=True)
    best = cast(MelModel, averaged.module.eval())
    val = validation_loss(best, held_out, collator)
    return best, {
        "steps": step,
        "loss_train": round(loss.item(), 4),
        "loss_val": round(val, 4),
        "minutes": minutes,
    }


@torch.no_grad()
def validation_loss(model: MelModel, clips: list[EncodedClip], collator: MelCollator) -> float:
    """Validation loss in the same canonical weights as a trial's."""
    diffusion = stop = 0.0
    for start in range(0, len(clips), BATCH_CLIPS):
        losses: Losses = model(
            collator.validation(clips[start : start + BATCH_CLIPS], model.shape.noise_repeats).to(
                DEVICE
            )
        )
        diffusion, stop = diffusion + losses.diffusion.item(), stop + losses.stop.item()
    normalizer = LossNormalizer.of([clip.patches for clip in clips])
    return diffusion / normalizer.patches + VALIDATION_STOP_WEIGHT * stop / normalizer.stop_mass


def main() -> None:
    """Speak, preprocess, fit, train, save."""
    torch.set_float32_matmul_precision(
        "high"
    )  # TF32: at this size autocast's casts would cost more launches than they save
    torch.backends.cuda.enable_cudnn_sdp(
        False
    )  # cuDNN plans its attention anew, for 5 ms, at every batch shape it meets
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument(
        "--texts",
        type=Path,
        nargs="+",
        required=True,
        help="plain English text files to read aloud",
    )
    parser.add_argument("--english", type=int, default=22_000, help="English sentences")
    parser.add_argument(
        "--mandarin",
        type=int,
        default=4_000,
        help="Mandarin sentences, made by the demo corpus's grammar",
    )
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    began, rng = time.perf_counter(), random.Random(0)
    english = book_sentences(arguments.texts)
    rng.shuffle(english)
    # A sixth is everyday speech of the demo corpus's kind (other sentences, by the seed); the rest comes from the books.
    everyday = made_up_sentences("en", arguments.english // 6)
    rare = [carrier.format(word) for carrier in CARRIERS for word in RARE_WORDS] * 2
    english = english[: arguments.english - len(everyday)] + everyday + rare
    rng.shuffle(english)
    casts = list(dialogues(english, made_up_sentences("zh", arguments.mandarin), rng))
    write_corpus(arguments.out / "corpus", casts, processes=arguments.processes)
    print(f"{len(casts)} clips spoken, {time.perf_counter() - began:.0f} s", flush=True)
    preprocess(
        arguments.out / "corpus", arguments.out / "shards", CorpusSettings(val_fraction=0.02)
    )
    model, clips, held_out, kept = encode(arguments.out / "shards")
    hours = sum(clip.patches for clip in clips) / 7.5 / 3600
    print(f"{len(clips)} clips, {hours:.1f} h encoded, {kept:.3f} of the variance kept", flush=True)
    index = read_index(arguments.out / "shards", MelModel)
    model, facts = train(
        model, clips, index, held_out, arguments.minutes, arguments.out / "losses.jsonl"
    )
    facts |= {
        "hours": round(hours, 1),
        "voices": len(BASE_VOICES),
        "clips": len(clips),
        "variance_kept": round(kept, 3),
    }
    save_bundle(model.cpu(), shipped_voices(model, clips), arguments.out / "base", torch.float16)
    (arguments.out / "base" / "training.json").write_text(
        json.dumps(facts | {"shape": dataclasses.asdict(model.shape)}, indent=1) + "\n"
    )
    print(json.dumps(facts))


def shipped_voices(model: MelModel, clips: list[EncodedClip]) -> dict[str, torch.Tensor]:
    """Voice prompts of a few people unlike each other, so that the untuned base can be heard: every 25th of the base voices."""
    prompts = model.voice_prompts(clips)
    return {voice.name: prompts[voice.name] for voice in BASE_VOICES[::25] if voice.name in prompts}


if __name__ == "__main__":
    main()

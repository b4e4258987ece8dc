"""Train a base of the family ``mel`` from nothing, on speech that free teachers make.

    pip install -e ".[mel]" hibari-tts; apt-get install flite
    python -m examples.base.train OUT --texts northanger.txt northsouth.txt

Texts, chunks of speech and the training go into OUT, and each is taken up where it was left. The
speech takes minutes on 16 cores and the training minutes on a GPU; both end with their time.
OUT/base is then a bundle to tune. docs/design/base.md says what is made of what.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from examples.base.clips import Chunk, chunks, read_chunk, speak_chunks
from examples.base.teachers import TEACHERS, installed
from examples.base.texts import Utterance, utterances
from vibesweep.config import MelSettings, TrialSettings
from vibesweep.corpus.shards.statistics import Moments, added_up
from vibesweep.corpus.sound.rates import patch_rate_hz
from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.models.bundle import save_bundle
from vibesweep.models.clips import EncodedClip
from vibesweep.models.losses import Losses, LossNormalizer
from vibesweep.models.mel.batch import MelBatch, MelCollator
from vibesweep.models.mel.encoder import MEL
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.shape import MelShape
from vibesweep.training.data.index import Index, RowGroup
from vibesweep.training.data.step_plan import StepPlan
from vibesweep.training.optim.optimizers import build_optimizer
from vibesweep.training.optim.schedules import SCHEDULES, share_of_peak
from vibesweep.training.validation import validation_batches, validation_loss
from vibesweep.training.workers import World

SHAPE = MelShape(hidden_size=320, ffn_size=960)
BATCH_CLIPS = 192
PEAK_LEARNING_RATE = 1.5e-3
WARMUP_STEPS = 500
EMA_DECAY = 0.999
STOP_WEIGHT = 0.2
LARGEST_GRAD_NORM = 1.0
LOG_EVERY_STEPS = 250
SAVE_EVERY_S = 120.0
MOST_EPOCHS = 400
"""More than the training reaches: it ends with the time."""
TIME_TICKS = 10_000
"""The learning rate falls with the time, in so many ticks."""
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
LOADERS = 12
CODEC_CHUNKS = 150
"""So many chunks, from all over the speech, show what mels there are."""
MOST_DROPPED = 0.05
VOICES = 8


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What the chunks hold, encoded.

    Attributes:
        clips: of the training split.
        validation_clips: of the validation split.
        plan: which clips make which step.
    """

    clips: list[EncodedClip]
    validation_clips: list[EncodedClip]
    plan: StepPlan


# The model and its clips


def fit_model(
    table: PhonemeTable, spoken: Sequence[Chunk], mel: MelSettings
) -> tuple[MelModel, float]:
    """Make a model whose codec is fitted on clips of some chunks.

    Returns:
        The model, untrained, and the share of the log-mels' variance that its latents keep.
    """
    model = MelModel(SHAPE, table, mel)
    some = spoken[:: max(1, len(spoken) // CODEC_CHUNKS)]
    moments = added_up(chunk_moments(model, chunk) for chunk in some)
    if not (np.isfinite(moments.mean).all() and np.isfinite(moments.products).all()):
        raise SystemExit("the log-mels are not finite: speak the chunks anew")
    return model, model.codec.fit(moments)


def chunk_moments(model: MelModel, chunk: Chunk) -> Moments:
    """Return the moments of a chunk's log-mel patches, with all products of pairs."""
    patches = []
    for clip in read_chunk(chunk, model.mel):
        frames = clip.columns[MEL].reshape(-1, model.mel.n_mels).astype(np.float32)
        patches.append(model.codec.patches(torch.from_numpy(frames)))
    return Moments.of(torch.cat(patches).numpy(), pairs=True)


def encode(model: MelModel, spoken: Sequence[Chunk]) -> TrainingData:
    """Encode the clips of all chunks."""
    training: list[EncodedClip] = []
    validation: list[EncodedClip] = []
    groups = []
    starts = [0]
    for chunk in spoken:
        for clip in read_chunk(chunk, model.mel):
            part = training if clip.split == "train" else validation
            part.append(model.encode(clip))
        groups.append(RowGroup(chunk.sounds.name, 0))
        starts.append(len(training))
    kept = [number for number in range(len(groups)) if starts[number + 1] > starts[number]]
    patches = np.array([clip.patches for clip in training])
    index = Index(
        ids=tuple(clip.id for clip in training),
        patches=patches,
        lengths=np.array([clip.length for clip in training]),
        seconds=patches / patch_rate_hz(model.mel),
        people=tuple(clip.people for clip in training),
        groups=tuple(groups[number] for number in kept),
        starts=np.array([*(starts[number] for number in kept), len(training)]),
    )
    plan = StepPlan(index, seed=0, batch_clips=min(BATCH_CLIPS, len(training)))
    return TrainingData(training, validation or training[:8], plan)


def shipped_voices(model: MelModel, clips: list[EncodedClip]) -> dict[str, torch.Tensor]:
    """Return voice prompts of people unlike each other, so that the untuned base can be heard."""
    prompts = model.voice_prompts(clips)
    names = sorted(prompts)
    chosen = names[:: max(1, len(names) // VOICES)][:VOICES]
    return {name: prompts[name] for name in chosen}


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


class Training:
    """A training that ends with its time, and saves what it has every two minutes."""

    def __init__(self, model: MelModel, data: TrainingData, out: Path, facts: dict[str, Any]):
        """Put the model on the device."""
        self._data = data
        self._out = out
        self._facts = facts
        self._collator = model.collator(data.clips)
        self._model = model.to(DEVICE).train()
        average = get_ema_multi_avg_fn(EMA_DECAY)  # type: ignore[no-untyped-call]
        self._averaged = AveragedModel(self._model, multi_avg_fn=average)
        self._optimizer = build_optimizer(model, TrialSettings(learning_rate=PEAK_LEARNING_RATE))

    def run(self, minutes: float) -> None:
        """Train for so many minutes, and save the averaged model as a bundle."""
        began = saved = 0.0
        step = 0
        loss = torch.zeros(())
        with (self._out / "losses.jsonl").open("w") as lines:
            for step, (batch, normalizer) in enumerate(self._loader()):
                now = time.perf_counter()
                if step == 0:
                    began = saved = now  # the loader's processes take a while to start
                share_of_time = (now - began) / (minutes * 60)
                if share_of_time >= 1:
                    break
                rate = learning_rate(step, share_of_time)
                loss = self._step(batch, normalizer, rate)
                if step % LOG_EVERY_STEPS == 0:
                    value = round(loss.item(), 4)
                    if not np.isfinite(value):
                        raise SystemExit(f"the loss of step {step} is {value}")
                    line = {"step": step, "loss_train": value, "seconds": round(now - began, 1)}
                    print(json.dumps(line), file=lines, flush=True)
                    print(line, flush=True)
                if now - saved > SAVE_EVERY_S:
                    self._save({"steps": step, "loss_train": round(loss.item(), 4)})
                    saved = now
        self._save({"steps": step, "loss_train": round(loss.item(), 4), "minutes": minutes})

    def _loader(self) -> DataLoader[tuple[MelBatch, LossNormalizer]]:
        return DataLoader(
            CollatedSteps(self._data, self._collator),
            batch_size=None,
            num_workers=min(LOADERS, os.cpu_count() or 1),
            pin_memory=DEVICE == "cuda",
            prefetch_factor=8,
        )

    def _step(self, batch: MelBatch, normalizer: LossNormalizer, rate: float) -> torch.Tensor:
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        losses: Losses = self._model(batch.to(DEVICE))
        loss = normalizer.weighted_loss(losses, 1.0, STOP_WEIGHT)
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(self._model.parameters(), LARGEST_GRAD_NORM)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._averaged.update_parameters(self._model)
        return loss

    def _save(self, figures: dict[str, Any]) -> None:
        """Write the averaged model as a bundle."""
        best = cast(MelModel, self._averaged.module).eval()
        loss = round(self._validated(best), 4)
        base = self._out / "base"
        voices = shipped_voices(best, self._data.clips)
        save_bundle(best, voices, base, torch.float16)
        facts = {**figures, "loss_val": loss, **self._facts}
        (base / "training.json").write_text(json.dumps(facts, indent=1) + "\n")
        print(json.dumps(facts), flush=True)
        best.train()

    def _validated(self, model: MelModel) -> float:
        """Return the validation loss, with the same fixed weights as a trial's."""
        repeats = model.shape.noise_repeats
        clips = self._data.validation_clips[:256]
        batches = validation_batches(self._collator, clips, DEVICE, repeats, model.stop_weights)
        return validation_loss(model, batches, World(device=DEVICE))


def parsed_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    texts_help = "plain English text files to read aloud"
    parser.add_argument("--texts", type=Path, nargs="*", default=[], help=texts_help)
    parser.add_argument("--english", type=int, default=48_000, help="English sentences")
    mandarin_help = "Mandarin sentences, made by the demo corpus's grammar"
    parser.add_argument("--mandarin", type=int, default=6_000, help=mandarin_help)
    teachers_help = "who speaks, of those that are installed"
    parser.add_argument(
        "--teachers", nargs="+", choices=list(TEACHERS), default=installed(), help=teachers_help
    )
    parser.add_argument("--chunks", type=int, default=700, help="of 64 clips, 3 to 4 minutes, each")
    parser.add_argument("--speaking-minutes", type=float, default=60.0)
    parser.add_argument("--minutes", type=float, default=9.0, help="of training")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def spoken_chunks(
    asked: argparse.Namespace, said: dict[str, list[Utterance]]
) -> tuple[list[Chunk], dict[str, int]]:
    """Have the teachers speak; return the chunks that are there, and the clips counted."""
    folder = asked.out / "chunks"
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    todo = list(chunks(folder, said, asked.chunks, tuple(asked.teachers)))
    counted = speak_chunks(todo, asked.processes, asked.speaking_minutes)
    print(f"{dict(counted)}, {time.perf_counter() - began:.0f} s", flush=True)
    dropped = counted.total() - counted["clips"]
    if dropped > MOST_DROPPED * counted.total():
        raise SystemExit(f"{dropped} of {counted.total()} clips are no speech: {dict(counted)}")
    return [chunk for chunk in todo if chunk.listing.exists()], dict(counted)


def main() -> None:
    """Speak, fit, encode, train and save."""
    # TF32: at this size autocast's casts would cost more launches than they save.
    torch.set_float32_matmul_precision("high")
    # cuDNN plans its attention again, for 5 ms, at every batch shape that it meets.
    torch.backends.cuda.enable_cudnn_sdp(False)
    asked = parsed_arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    said = utterances(asked.out / "texts.jsonl", asked.texts, asked.english, asked.mandarin)
    spoken, counted = spoken_chunks(asked, said)
    everything = [utterance.symbols for stock in said.values() for utterance in stock]
    model, kept = fit_model(PhonemeTable.fit(everything), spoken, MelSettings())
    data = encode(model, spoken)
    hours = sum(clip.patches for clip in data.clips) / patch_rate_hz(model.mel) / 3_600
    people = {person for clip in data.clips for person in clip.people}
    facts: dict[str, Any] = {
        "hours": round(hours, 1),
        "people": len(people),
        "clips": len(data.clips),
        "counted": counted,
        "variance_kept": round(kept, 3),
        "shape": asdict(model.shape),
    }
    print(json.dumps(facts), flush=True)
    Training(model, data, asked.out, facts).run(asked.minutes)


if __name__ == "__main__":
    main()

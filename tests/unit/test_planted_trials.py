"""A bad trial that the loss prefers: the ear must not.

Two trials are trained for real, on the demo's voices. One is never taught when to stop, as by
transformers' own loss for VibeVoice: its loss has no share for that, so it is the smaller one, and
the voice talks on until it is cut.
"""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from tests import tiny
from vibesweep.config import Sweep, TrialSettings
from vibesweep.corpus.demo.sentences import sentence
from vibesweep.corpus.demo.voices import DEMO_VOICES, ESPEAK_RATE_HZ, speak
from vibesweep.corpus.shards.manifest import ShardFile, write_manifest
from vibesweep.corpus.shards.schema import Clip, ClipTurn, row_schema
from vibesweep.corpus.sound.levels import at_level, level_dbfs
from vibesweep.corpus.sound.rates import FRAMES_PER_PATCH
from vibesweep.corpus.sound.resampling import resample
from vibesweep.corpus.sound.speech_file import write_speech
from vibesweep.corpus.text import phonemize
from vibesweep.delivery.best import deliver_best, hand_over
from vibesweep.delivery.judge import judge
from vibesweep.models.mel.batch import MelBatch
from vibesweep.models.mel.encoder import COLUMNS, MEL, PHONEMES
from vibesweep.models.mel.model import MelModel
from vibesweep.models.registry import ModelRef
from vibesweep.quality.choice import ranked_by_ear
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord, TrialState, sweep_as_json
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

BASE = "mel-small"
VOICES = DEMO_VOICES[:2]
CLIPS, HELD_OUT = 30, 6
STEPS = 24
SETTINGS = TrialSettings(method="full", learning_rate=1e-3, batch_clips=4)
SOUND, ENDLESS = "t0", "t1"


def no_stop_loss(self: MelModel, _batch: MelBatch, before: Tensor, last: Tensor) -> Tensor:
    """Teach neither "go on" nor "stop", and count neither."""
    nothing: Tensor = 0 * (self.stop(before).sum() + self.stop(last).sum())
    return nothing


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Have two of the demo's voices say sentences, a few of which are held out."""
    root = tmp_path_factory.mktemp("demo")
    rng = random.Random(0)
    texts = [sentence("en", rng) for _ in range(CLIPS)]
    encoder = tiny.ENCODER.open_sound("cpu")
    rows: dict[str, list[dict[str, object]]] = {"train": [], "val": []}
    for number, (text, reading) in enumerate(zip(texts, phonemize(texts), strict=True)):
        voice = VOICES[number % len(VOICES)]
        samples = speak(text, voice).astype(np.float32) / np.float32(32_768)
        recording = root / f"{number}.wav"
        write_speech(recording, samples, ESPEAK_RATE_HZ)
        sound = resample(samples, ESPEAK_RATE_HZ, tiny.MEL_SETTINGS.sample_rate_hz)
        levelled = at_level(sound, tiny.MEL_SETTINGS.level_dbfs, found=level_dbfs(sound))
        encoded = encoder.encode(levelled)
        seconds = encoded.patches * FRAMES_PER_PATCH / 75
        symbols = list(reading.symbols)
        columns = {PHONEMES: symbols}
        turn = ClipTurn("SPEAKER_A", voice.name, "en", text, 0.0, seconds, True, columns)
        split = "val" if number < HELD_OUT else "train"
        mel = np.frombuffer(encoded.columns[MEL], np.float16)
        name = f"clip{number:03d}"
        clip = Clip(
            name, split, seconds, encoded.patches, len(symbols) + 1, (turn,), columns={MEL: mel}
        )
        origin = {"recording": name, "source": str(recording)}
        rows[split].append(tiny.plain_row(clip) | origin)
    folder = root / "shards"
    folder.mkdir()
    files = []
    for split, clips in rows.items():
        name = f"{split}-00000.parquet"
        pq.write_table(pa.Table.from_pylist(clips, schema=row_schema(COLUMNS)), folder / name)
        files.append(ShardFile(name, split, len(clips), 60.0))
    manifest = tiny.manifest(*files)
    nothing_counted = dataclasses.replace(manifest.encoder, counts={})
    write_manifest(folder, dataclasses.replace(manifest, encoder=nothing_counted))
    return folder


def untaught(run: TrialRun) -> None:
    """Have a trial know nothing of stopping, as if its base had never been taught."""
    assert isinstance(run.model, MelModel)
    torch.nn.init.zeros_(run.model.stop.weight)
    torch.nn.init.zeros_(run.model.stop.bias)


def write_sweep(
    folder: SweepFolder, shards: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, float]:
    """Train both trials as a lane does; return their validation losses."""
    context = WorkerContext.open(ModelRef.parse(BASE), shards, World())
    record = SweepRecord(
        "planted", BASE, str(shards), "tiny", sweep_as_json(Sweep(space={}, trials=2)), 1, {}
    )
    losses = {}
    for number, trial_id in enumerate((SOUND, ENDLESS)):
        with monkeypatch.context() as planted:
            run = TrialRun(context, SETTINGS, STEPS)
            if trial_id == ENDLESS:
                planted.setattr(MelModel, "_stop_loss", no_stop_loss)
                untaught(run)
            losses[trial_id] = run.advance(STEPS).loss_val
            run.save(folder.checkpoints / trial_id)
            run.close()
        trial = TrialRecord(
            trial_id,
            number,
            {},
            dataclasses.asdict(SETTINGS),
            TrialState.COMPLETE,
            step=STEPS,
            best_loss_val=losses[trial_id],
            best_step=STEPS,
        )
        record.trials.append(trial)
    folder.write(record)
    return losses


@pytest.mark.slow
def test_a_trial_that_cheats_the_loss_comes_out_last_by_ear(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vibesweep.delivery.best.show_sample", lambda *_: None)
    monkeypatch.setattr("vibesweep.delivery.judge.TEXTS", 1)  # more only where there is time
    folder = SweepFolder(tmp_path / "planted")
    losses = write_sweep(folder, shards, monkeypatch)
    assert losses[ENDLESS] < losses[SOUND]
    deliver_best(folder)
    assert folder.best_checkpoint()[1].id == ENDLESS
    judged = judge(folder)
    recording, _, *heard = judged.quality.rows
    ordered = ranked_by_ear(heard, recording, judged.quality.measures)
    assert [row.name for row in ordered] == ["trial 0", "trial 1"]
    assert ordered[1].mean("ran_on") == 1
    assert judged.speaks
    assert judged.preferred is not None
    hand_over(folder, judged.preferred)
    assert folder.best_checkpoint()[1].id == SOUND

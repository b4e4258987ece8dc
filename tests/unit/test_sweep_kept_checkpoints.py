"""A sweep's disk is bounded: the best trials' checkpoints stay, and what was told is kept."""

from __future__ import annotations

import dataclasses
import random
from pathlib import Path
from typing import Any

import pytest

from tests import tiny
from vibesweep.config import Sweep, TrialSettings
from vibesweep.errors import StorageError
from vibesweep.models.registry import ModelRef
from vibesweep.storage import StoragePath
from vibesweep.sweep.kept_checkpoints import KeptCheckpoints
from vibesweep.sweep.plan.disk_bound import disk_bound, sizes_of
from vibesweep.sweep.record import SweepRecord, TrialRecord, TrialState
from vibesweep.sweep.record.states import FINISHED
from vibesweep.training.sizes import sized_like, trial_size
from vibesweep.training.trial_run import TrialRun

KEEP, LANES, TRIALS = 3, 2, 20


def empty_record() -> SweepRecord:
    return SweepRecord("mine", "base", "shards", "", {"trials": TRIALS}, LANES, {})


def start(record: SweepRecord, folder: Path, loss: float) -> TrialRecord:
    """Start a trial that has reported once, and has a checkpoint."""
    number = len(record.trials)
    trial = TrialRecord(f"trial_{number:03d}", number, {}, {}, TrialState.RUNNING)
    trial.best_loss_val = loss
    record.trials.append(trial)
    write_checkpoint(folder, trial)
    return trial


def write_checkpoint(folder: Path, trial: TrialRecord) -> None:
    (folder / trial.id).mkdir()
    (folder / trial.id / "checkpoint.json").write_text("{}")


def left_in(folder: Path) -> set[str]:
    return {place.name for place in folder.iterdir()}


def run_trials(kept: KeptCheckpoints, record: SweepRecord, folder: Path, seed: int) -> int:
    """Run trials on some lanes and end them in any order; return the most folders there were."""
    choice = random.Random(seed)
    running: list[TrialRecord] = []
    most = 0
    while len(record.trials) < TRIALS or running:
        if len(record.trials) < TRIALS and len(running) < LANES:
            running.append(start(record, folder, choice.random()))
        else:
            ended = running.pop(choice.randrange(len(running)))
            ended.state = choice.choice(FINISHED)
        kept.look(record)
        most = max(most, len(left_in(folder)))
        assert {trial.id for trial in running} <= left_in(folder)
    return most


@pytest.mark.parametrize("seed", range(5))
def test_the_best_and_the_running_ones_stay(tmp_path: Path, seed: int) -> None:
    record = empty_record()
    most = run_trials(KeptCheckpoints(StoragePath.of(tmp_path), KEEP), record, tmp_path, seed)
    best = sorted(record.trials, key=record.score)[:KEEP]
    assert left_in(tmp_path) == {trial.id for trial in best}
    assert most == KEEP + LANES


def test_a_resumed_sweep_keeps_the_same(tmp_path: Path) -> None:
    record = empty_record()
    run_trials(KeptCheckpoints(StoragePath.of(tmp_path), KEEP), record, tmp_path, seed=0)
    before = left_in(tmp_path)
    KeptCheckpoints(StoragePath.of(tmp_path), KEEP).look(record)
    assert left_in(tmp_path) == before


def test_a_trial_that_was_stopped_goes_on_and_keeps_its_own(tmp_path: Path) -> None:
    record = empty_record()
    kept = KeptCheckpoints(StoragePath.of(tmp_path), 1)
    start(record, tmp_path, 0.1).state = TrialState.COMPLETE
    start(record, tmp_path, 0.9).state = TrialState.STOPPED
    kept.look(record)
    assert left_in(tmp_path) == {"trial_000", "trial_001"}


def test_a_store_that_is_away_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = empty_record()
    kept = KeptCheckpoints(StoragePath.of(tmp_path), 1)
    for loss in (0.1, 0.2):
        start(record, tmp_path, loss).state = TrialState.COMPLETE

    def away(path: StoragePath) -> None:
        raise StorageError("timed out", where=path.address)

    with monkeypatch.context() as patch:
        patch.setattr(StoragePath, "remove", away)
        kept.look(record)
    assert left_in(tmp_path) == {"trial_000", "trial_001"}
    kept.look(record)
    assert left_in(tmp_path) == {"trial_000"}


def test_what_trials_write_stays_below_what_was_told(tmp_path: Path) -> None:
    context = tiny.open_context(tmp_path / "made")
    settings = TrialSettings(lora_rank=8)
    small = dataclasses.replace(settings, lora_rank=2)
    sweep = Sweep({}, trials=3, keep_checkpoints=1)
    sizes = [trial_size(context.base, some) for some in (settings, small)]
    bound = disk_bound(sweep, 1, sizes, parameters=0)
    folder = tmp_path / "checkpoints"
    states = tmp_path / "states"
    record = empty_record()
    kept = KeptCheckpoints(StoragePath.of(folder), sweep.keep_checkpoints)
    most = 0
    for number, some in enumerate((settings, small, settings)):
        run = TrialRun(context, some, 2)
        trial = TrialRecord(f"trial_{number}", number, {}, {}, TrialState.RUNNING)
        record.trials.append(trial)
        for step in (1, 2):
            trial.best_loss_val = run.advance(step).loss_val
            run.save(folder / trial.id)
            run.save_state(states / "running")
            kept.look(record)
            most = max(most, bytes_in(folder) + bytes_in(states))
        run.close()
        trial.state = TrialState.COMPLETE
        kept.look(record)
        most = max(most, bytes_in(folder) + bytes_in(states))
    assert len(left_in(folder)) == 1
    assert 0 < most <= bound.total_bytes


def bytes_in(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


def test_settings_that_the_model_refuses_take_no_disk(tmp_path: Path) -> None:
    context = tiny.open_context(tmp_path)
    refused = TrialSettings(method="freeze", freeze_layers=99)
    assert sizes_of(context.base, [refused]) == []
    assert len(sizes_of(context.base, [refused, TrialSettings()])) == 1
    assert disk_bound(Sweep({}), 1, [], parameters=1).checkpoint_bytes == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"lora_rank": 3, "learning_rate": 1e-2, "lora_dropout": 0.3, "seed": 5},
        {"lora_dora": True, "lora_head": "full"},
        {"method": "freeze", "freeze_layers": 1, "optimizer": "sgd"},
        {"ema_decay": 0.7, "base_share": 0.1, "optimizer": "lion", "silence_after_s": 0.2},
    ],
    ids=str,
)
def test_what_decides_a_size_is_all_that_counts(changes: dict[str, Any]) -> None:
    skeleton = ModelRef.parse("mel-small").family.skeleton("mel-small")
    settings = TrialSettings(**changes)
    assert trial_size(skeleton, sized_like(settings)) == trial_size(skeleton, settings)

"""Packs: each of K trials is the trial alone, whoever sits beside it, comes or goes."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import Any

import pytest
import torch

from tests import tiny, vibe
from tests.checkpoint import write_checkpoint
from tests.threads import run_in_threads
from vibesweep.config import TrialSettings
from vibesweep.models.registry import ModelRef
from vibesweep.training import seat
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.turns import Turns
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

SETTINGS = TrialSettings(
    learning_rate=3e-3, lora_rank=4, lora_dropout=0.0, lora_head="full", batch_clips=4
)
OTHERS: list[dict[str, Any]] = [
    {"lora_rank": 9, "lora_alpha": 5.0, "learning_rate": 1e-2, "weight_decay": 0.1, "seed": 7},
    {"lora_rank": 2, "lora_rslora": True, "ema_decay": 0.5, "optimizer": "lion"},
    {"optimizer": "sgd", "grad_clip_norm": 0.1, "diffusion_weight": 2.0, "batch_clips": 7},
]
TRIALS = [SETTINGS, *(dataclasses.replace(SETTINGS, **changes) for changes in OTHERS)]
STEPS = (2, 3)


@pytest.fixture(scope="module")
def mel(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    return tiny.open_context(tmp_path_factory.mktemp("pack"))


def of_three(context: WorkerContext) -> WorkerContext:
    return dataclasses.replace(context, trials=3, packs=[], turns=Turns())


def curve(context: WorkerContext, settings: TrialSettings, steps: tuple[int, ...]) -> list[float]:
    """Train to each step and validate there; return all losses."""
    run = TrialRun(context, settings, STEPS[-1])
    found = []
    for step in steps:
        report = run.advance(step)
        found += [*(record.loss for record in report.curve), report.loss_val]
        if report.diverged:
            break
    run.close()
    return found


def packed_curves(
    context: WorkerContext, trials: list[TrialSettings], steps: tuple[int, ...] = STEPS
) -> list[list[float]]:
    """Train all trials on three seats: the fourth takes the first seat that comes free."""
    found: dict[int, list[float]] = {}
    waiting = list(enumerate(trials))

    def one_after_another() -> None:
        while waiting:
            number, settings = waiting.pop(0)
            found[number] = curve(context, settings, steps)

    run_in_threads(context, [one_after_another] * context.trials)
    return [found[number] for number in range(len(trials))]


def test_each_of_four_trials_on_three_seats_is_the_trial_alone(mel: WorkerContext) -> None:
    alone = [curve(mel, settings, STEPS) for settings in TRIALS]
    context = of_three(mel)
    together = packed_curves(context, TRIALS)
    assert len(context.packs) == 1
    for packed, expected in zip(together, alone, strict=True):
        assert packed == pytest.approx(expected, rel=1e-5)


def test_in_bf16_too(mel: WorkerContext) -> None:
    """Products are rounded in another order there, so only so many digits agree."""
    trials = [dataclasses.replace(one, precision="bf16") for one in TRIALS[:3]]
    alone = [curve(mel, settings, STEPS) for settings in trials]
    together = packed_curves(of_three(mel), trials)
    for packed, expected in zip(together, alone, strict=True):
        assert packed == pytest.approx(expected, rel=5e-3)


def test_what_rows_are_filled_up_with_is_counted(mel: WorkerContext) -> None:
    run = TrialRun(of_three(mel), SETTINGS, 1)
    shape = run._seat.shape
    assert shape is not None
    report = run.advance(1)
    assert 0 < report.tokens < report.row_tokens
    assert report.row_tokens % shape.tokens == 0


@pytest.mark.parametrize("changes", [{"lora_head": "lora"}, {"lora_connectors": "full"}], ids=str)
def test_whatever_a_trial_trains_in_full_is_its_own(
    mel: WorkerContext, changes: dict[str, Any]
) -> None:
    trials = [dataclasses.replace(one, **changes) for one in TRIALS[:3]]
    alone = [curve(mel, settings, STEPS[:1]) for settings in trials]
    together = packed_curves(of_three(mel), trials, STEPS[:1])
    for packed, expected in zip(together, alone, strict=True):
        assert packed == pytest.approx(expected, rel=1e-5)


def test_vibevoice_too(tmp_path: Path) -> None:
    checkpoint = write_checkpoint(tmp_path / "checkpoint")
    vibe.write_shards(tmp_path / "shards", checkpoint)
    model = ModelRef.parse(f"vibevoice:{checkpoint}")
    context = WorkerContext.open(model, tmp_path / "shards", World())
    trials = TRIALS[:3]
    alone = [curve(context, settings, STEPS[:1]) for settings in trials]
    together = packed_curves(of_three(context), trials, STEPS[:1])
    for packed, expected in zip(together, alone, strict=True):
        assert packed == pytest.approx(expected, rel=1e-5)


def test_what_is_not_a_number_reaches_no_other_trial(mel: WorkerContext) -> None:
    broken = dataclasses.replace(SETTINGS, learning_rate=1e38, seed=3)
    expected = curve(mel, SETTINGS, STEPS)
    context = of_three(mel)
    found, diverged, _ = packed_curves(context, [SETTINGS, broken, TRIALS[1]])
    values = torch.cat([free.flat.matrices for free in context.packs[0].seats])
    assert not values.isfinite().all(), "its seat holds what the trial left"
    assert len(diverged) < len(expected), "it did diverge"
    assert found == pytest.approx(expected, rel=1e-5)
    for again in packed_curves(context, [SETTINGS] * 2):
        assert again == pytest.approx(expected, rel=1e-5)


def test_what_cannot_be_packed_trains_beside_the_pack(mel: WorkerContext) -> None:
    full = TrialSettings(method="full", learning_rate=1e-3, batch_clips=4)
    expected = [curve(mel, settings, STEPS) for settings in (SETTINGS, full)]
    context = of_three(mel)
    together = packed_curves(context, [SETTINGS, full])
    for packed, alone in zip(together, expected, strict=True):
        assert packed == pytest.approx(alone, rel=1e-5)


def test_a_trial_that_fails_is_waited_for_no_longer(mel: WorkerContext) -> None:
    context = of_three(mel)
    found = []

    def fails() -> None:
        run = TrialRun(context, SETTINGS, STEPS[-1])
        run._batches = iter([])  # type: ignore[assignment]
        run.train(STEPS[-1])

    def trains() -> None:
        found.append(curve(context, SETTINGS, STEPS))

    run_in_threads(context, [fails, trains])
    assert len(found[0]) == STEPS[-1] + len(STEPS)


def test_what_has_a_seat_of_its_own() -> None:
    base, gpu = tiny.model(), World(device="cuda:0")
    assert seat.can_be_packed(base, SETTINGS, World())
    in_bf16 = dataclasses.replace(SETTINGS, precision="bf16")
    assert seat.can_be_packed(base, in_bf16, gpu)
    assert not seat.can_be_packed(base, SETTINGS, gpu)
    assert not seat.can_be_packed(base, SETTINGS, World(size=2))
    assert not seat.can_be_packed(base, TrialSettings(method="full"), World())
    muon = dataclasses.replace(SETTINGS, optimizer="muon")
    assert not seat.can_be_packed(base, muon, World())


def test_turns_go_to_whoever_has_waited_longest() -> None:
    turns = Turns()
    order = []
    asked = [threading.Event() for _ in range(3)]

    def take(number: int) -> None:
        asked[number].set()
        with turns:
            order.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(3)]
    with turns:
        for number, thread in enumerate(threads):
            thread.start()
            asked[number].wait()
            while len(turns._waiting) <= number:
                pass
        with turns.let_others():
            pass
        order.append(3)
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3]

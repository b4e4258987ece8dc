"""No trial of a shipped space is refused by its model: many are drawn and built."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest

from tests import tiny
from tests.checkpoint import write_checkpoint
from vibesweep.config import Sweep, TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.registry import ModelRef
from vibesweep.models.speech_model import SpeechModel
from vibesweep.sweep.record.study import quiet_optuna
from vibesweep.sweep.search.space import suggest
from vibesweep.sweep.search.space_file import load_space
from vibesweep.training.loop import TrainingLoop
from vibesweep.training.workers import World

FILES = sorted((Path(__file__).parents[2] / "search_spaces").glob("*.py"))
DRAWS = 1_000
DEPTHS = {"lora": 2, "full": 28}
"""Layers by method: `freeze_layers` is checked against the released depth, LoRA needs few."""
AMOUNTS = (
    *("learning_rate", "diffusion_weight", "stop_weight", "batch_clips", "seed"),
    *("lora_rank", "lora_alpha_ratio", "lora_dropout"),
)
"""Settings that no model refuses within their limits: draws that differ in them are built once."""


def base_of(sweep: Sweep, folder: Path) -> SpeechModel:
    """Make a small base of the sweep's family."""
    if not sweep.model.startswith("vibevoice:"):
        return tiny.model()
    write_checkpoint(folder, layers=DEPTHS[sweep.settings.method])
    return ModelRef.parse(f"vibevoice:{folder}").load()


def drawn_settings(sweep: Sweep) -> Iterator[TrialSettings]:
    """Draw settings at random, as a sweep's first trials are drawn."""
    with quiet_optuna():
        study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        for _ in range(DRAWS):
            _, settings = suggest(sweep, study.ask())
            yield settings


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_thousand_draws_of_a_shipped_space_are_built(file: Path, tmp_path: Path) -> None:
    sweep = load_space(file)
    base = base_of(sweep, tmp_path)
    same = {name: getattr(sweep.settings, name) for name in AMOUNTS}
    kinds = {dataclasses.replace(settings, **same) for settings in drawn_settings(sweep)}
    budget = sweep.budget.in_steps(clips=100, speech_s=400.0, settings=sweep.settings)
    for settings in kinds:
        TrainingLoop(for_trial(base, settings), settings, budget.last_step, World())

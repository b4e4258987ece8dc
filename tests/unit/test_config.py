"""Settings that nobody can use are refused when they are made, with the name of the setting."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from vibesweep.config import OPTIMIZERS, SCHEDULES, Budget, Sweep, TrialResources, TrialSettings
from vibesweep.errors import SpaceError
from vibesweep.training.optim import optimizers as optim
from vibesweep.training.optim import schedules

ON_A_GPU = TrialResources(gpus_per_worker=1)
SCHEDULE_FREE = {"optimizer": "schedule_free_adamw", "schedule": "constant"}

UNUSABLE_SETTINGS: list[tuple[Mapping[str, Any], str]] = [
    ({"learning_rate": "1e-4"}, "Learning_rate takes float"),
    ({"learning_rate": 0.0}, "above 0"),
    ({"lora_dropout": 1.0}, "below 1"),
    ({"learning_rate": math.inf}, "no infinity"),
    ({"learning_rate": math.nan}, "above 0"),
    ({"voice_prompt_drop": 1.5}, "from 0 to 1"),
    ({"ema_decay": 0.0}, "above 0"),
    ({"ema_decay": 1.5}, r"ema_decay is 1\.5"),
    ({"seed": -1}, "at least 0"),
    ({"seed": 2**32}, r"seed is 4294967296\. Choose at least 0 and below 4294967296"),
    ({"seed": 1.5}, r"seed is 1\.5\. Seed takes int"),
    ({"method": "prompt"}, "method is 'prompt'. Choose among lora"),
    ({"optimizer": "adanw"}, "choose among adamw, lion"),
    ({"schedule": "cosin"}, "choose among constant, linear"),
    ({"precision": "fp16"}, "choose among float32, bf16"),
    ({"ema_parts": "head"}, "choose among all, heads"),
    ({"lora_rank": 0}, "lora_rank is 0. Choose at least 1"),
    ({"lora_head": "none"}, "choose among lora, full, frozen"),
    ({"lora_connectors": "none"}, "choose among lora, full, frozen"),
    ({"lora_targets": "(q"}, "no regular expression"),
    ({"optimizer": "schedule_free_adamw"}, "schedule is 'cosine' with schedule_free_adamw"),
    ({**SCHEDULE_FREE, "ema_decay": 0.9}, "averages the weights itself"),
    ({"schedule": "wsd", "warmup_fraction": 0.6, "cooldown_fraction": 0.6}, "over 1 together"),
    ({"diffusion_weight": 0.0, "stop_weight": 0.0}, "both 0"),
    ({"batch_clips": True}, "batch_clips is True"),
    ({"patience_reports": 0}, "at least 1"),
]


@pytest.mark.parametrize(("chosen", "message"), UNUSABLE_SETTINGS)
def test_settings_that_no_trial_can_use_are_refused(
    chosen: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(SpaceError, match=f"(?i){message}") as caught:
        TrialSettings(**chosen)
    kind, _, name = caught.value.where.partition(".")
    assert kind == "TrialSettings"
    assert name in TrialSettings.names()


def test_integers_become_floats_where_floats_are_declared() -> None:
    settings = TrialSettings(lora_alpha=16, learning_rate=1, batch_clips=3)
    assert isinstance(settings.lora_alpha, float)
    assert isinstance(settings.learning_rate, float)
    assert isinstance(settings.batch_clips, int)
    with pytest.raises(FrozenInstanceError):
        settings.batch_clips = 4  # type: ignore[misc]


def test_each_choice_is_one_that_training_has() -> None:
    assert set(OPTIMIZERS) == set(optim.OPTIMIZERS)
    assert set(SCHEDULES) == set(schedules.SCHEDULES)


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        ({"workers": 0}, "workers is 0"),
        ({"cpus_per_worker": 0}, "neither CPUs nor GPUs"),
        ({"cpus_per_worker": -1}, "cpus_per_worker is -1"),
        ({"gpus_per_worker": -0.5}, "gpus_per_worker is -0.5"),
        ({"workers": 2, "gpus_per_worker": 2}, "gpus_per_worker is 2.*workers=4"),
        ({"workers": 2, "gpus_per_worker": 0.5}, "0.5 with 2 workers.*NCCL"),
        ({"accelerator_type": "L4"}, "accelerator_type is L4 and gpus_per_worker is 0"),
    ],
)
def test_workers_that_could_never_start_are_refused(
    resources: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpaceError, match=message) as caught:
        TrialResources(**resources)
    assert caught.value.where.startswith("TrialResources.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lanes": 0}, "lanes is 0"),
        ({"lanes": -1}, "lanes is -1"),
        ({"trials_per_lane": 0}, "trials_per_lane is 0"),
        ({"trials_per_lane": "all"}, "trials_per_lane is 'all'"),
        (
            {"trials_per_lane": 2, "resources": TrialResources(workers=2)},
            "trials_per_lane is 2 with 2 workers",
        ),
        ({"trials": 0}, "trials is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"seed": 1.5}, "seed takes int"),
        ({"trials": "3"}, "trials is '3'"),
        ({"corpus": None}, "corpus is None"),
        ({"space": 5}, "space is 5"),
        ({"budget": {"max_steps": 9}}, "takes Budget"),
        ({"try_first": {"seed": 1}}, r"one dict alone is written"),
        ({"try_first": ("seed",)}, r"try_first\[0\] is 'seed'"),
    ],
)
def test_a_sweep_that_could_never_run_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=f"(?i){message}"):
        Sweep(**{"space": {}, **change})


def test_a_list_of_points_becomes_a_tuple() -> None:
    points: Any = [{"seed": 1}]
    assert Sweep({}, try_first=points).try_first == ({"seed": 1},)


def test_budgets_and_resources_take_no_other_types() -> None:
    with pytest.raises(SpaceError, match=r"max_steps is 90\.0. Max_steps takes int \| None"):
        Budget(max_steps=90.0)  # type: ignore[arg-type]
    with pytest.raises(SpaceError, match="workers is '2'"):
        TrialResources(workers="2")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "lanes", "of_a_lane"),
    [
        ({}, 1, 1),
        ({"resources": ON_A_GPU}, 1, 8),
        ({"resources": ON_A_GPU}, 4, 3),
        ({"resources": ON_A_GPU, "trials_per_lane": 5}, 4, 5),
        ({"resources": TrialResources(workers=2, gpus_per_worker=1)}, 1, 1),
        ({"trials_per_lane": 2}, 3, 2),
    ],
    ids=str,
)
def test_a_lane_on_a_gpu_trains_several_trials_and_few_trials_spread_over_lanes(
    change: dict[str, Any], lanes: int, of_a_lane: int
) -> None:
    sweep = Sweep({}, trials=12, **change)
    assert sweep.most_trials_of_a_lane(lanes) == of_a_lane
    assert sweep.trials_at_once(lanes) == min(lanes * of_a_lane, 12)


def test_each_lane_has_a_trial_before_any_has_two_unless_their_number_is_asked_for() -> None:
    sweep = Sweep({}, trials=12, resources=ON_A_GPU)
    assert sweep.most_lanes == 12
    assert replace(sweep, trials_per_lane=8).most_lanes == 2

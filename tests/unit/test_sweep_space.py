"""Search spaces and budgets: what a user may write, and what is said of what they may not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from vibesweep.config import OPTIMIZERS, SCHEDULES, Budget, Sweep, TrialSettings
from vibesweep.errors import SpaceError
from vibesweep.sweep.search.space import check_space, load_space, settings_with, suggest
from vibesweep.training.optim import optimizers as optim
from vibesweep.training.optim import schedules

HEAD = "from vibesweep import Budget, Sweep, TrialSettings\n"
FUNCTION = HEAD + "def space(trial):\n"


@pytest.fixture
def load(tmp_path: Path) -> Callable[[str], Sweep]:
    """Load a space file with this text."""

    def write_and_load(text: str) -> Sweep:
        path = tmp_path / "my_space.py"
        path.write_text(text, encoding="utf-8")
        return load_space(path)

    return write_and_load


@pytest.mark.parametrize(
    ("budget", "reports", "rungs"),
    [
        (Budget(90, 10, 3), (10, 20, 30, 40, 50, 60, 70, 80, 90), (10, 30)),
        (Budget(54, 6, 3), tuple(range(6, 55, 6)), (6, 18)),
        (Budget(55, 6, 3), (*range(6, 55, 6), 55), (6, 18, 54)),
        (Budget(7, 2, 2), (2, 4, 6, 7), (2, 4)),
        (Budget(54, 54, 3), (54,), ()),
        (Budget(1, 1, 2), (1,), ()),
    ],
)
def test_a_budget_lays_out_reports_and_rungs(
    budget: Budget, reports: tuple[int, ...], rungs: tuple[int, ...]
) -> None:
    assert budget.report_steps == reports
    assert budget.rung_steps == rungs
    assert set(rungs) <= set(reports), "ASHA decides on reports"


@pytest.mark.parametrize(("steps", "grace", "factor"), [(5, 6, 3), (5, 0, 3), (5, 1, 1)])
def test_a_budget_without_a_rung_is_refused(steps: int, grace: int, factor: int) -> None:
    with pytest.raises(SpaceError, match="Budget"):
        Budget(steps, grace, factor)


@pytest.mark.parametrize("name", ["lr_opt", "article_grid"])
def test_the_shipped_spaces_load(name: str) -> None:
    path = Path(__file__).parents[2] / "search_spaces" / f"{name}.py"
    sweep = load_space(path)
    assert sweep.corpus == "demo"


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match=r"nothing\.py: cannot be read: No such file"):
        load_space(tmp_path / "nothing.py")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sweep = (\n", r"my_space\.py:1: SyntaxError"),
        (HEAD + "x = 1\nsweep = Sweep(1 / 0)\n", r"my_space\.py:3: ZeroDivisionError"),
        (
            HEAD + "import no_such_module\n",
            r"my_space\.py:2: ModuleNotFoundError: No module named 'no_such_module'",
        ),
        (HEAD + "raise SystemExit('enough')\n", r"my_space\.py:2: SystemExit: enough"),
        (HEAD, r"my_space\.py: defines no `sweep`"),
        ("sweep = {'learning_rate': 1e-4}\n", r"my_space\.py: `sweep` is a dict"),
        (
            HEAD + "\nsweep = Sweep({}, budget=Budget(grace_steps=0))\n",
            r"my_space\.py:3: grace_steps is 0",
        ),
        (
            FUNCTION + "    trial.suggest_float('rate', 0, 1)\nsweep = Sweep(space)\n",
            r"my_space\.py: suggests rate\. Known are .*seed",
        ),
        (
            FUNCTION + "    return {'seed': 1.5}\nsweep = Sweep(space)\n",
            r"my_space\.py: seed is 1\.5\. Seed takes int",
        ),
        (
            FUNCTION + "    return {'lora_rank': 0}\nsweep = Sweep(space)\n",
            r"lora_rank is 0\. Choose at least 1",
        ),
        (
            FUNCTION + "    return {'method': 'prompt'}\nsweep = Sweep(space)\n",
            "method is 'prompt'. Choose among lora",
        ),
        (FUNCTION + "    return [1]\nsweep = Sweep(space)\n", r"the function returned a list"),
        (
            FUNCTION + "    trial.suggest_int('seed', 5, 1)\nsweep = Sweep(space)\n",
            r"my_space\.py:3: ValueError",
        ),
        (
            FUNCTION + "    pass\nsweep = Sweep(space, try_first=({'seed': 1},))\n",
            r"try_first\[0\]: .* does not suggest seed",
        ),
    ],
)
def test_mistakes_are_named_with_their_place(
    load: Callable[[str], Sweep], text: str, message: str
) -> None:
    with pytest.raises(SpaceError, match=message) as caught:
        load(text)
    assert "\n" not in str(caught.value)


CONDITIONAL = """
def space(trial):
    method = trial.suggest_categorical("method", ["lora", "freeze"])
    if method == "lora":
        trial.suggest_int("lora_rank", 2, 8)
    else:
        trial.suggest_int("freeze_layers", 0, 1)
    return {"weight_decay": 0}

sweep = Sweep(space, settings=TrialSettings(batch_clips=3))
"""


def test_a_setting_may_exist_only_in_one_branch(load: Callable[[str], Sweep]) -> None:
    sweep = load(HEAD + CONDITIONAL)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    drawn = [suggest(sweep, study.ask()) for _ in range(20)]
    assert {frozenset(swept) for swept, _ in drawn} == {
        frozenset({"method", "lora_rank"}),
        frozenset({"method", "freeze_layers"}),
    }
    assert all(settings.batch_clips == 3 for _, settings in drawn)
    assert all(
        settings.weight_decay == 0.0 and isinstance(settings.weight_decay, float)
        for _, settings in drawn
    )


def test_a_mistake_in_a_rare_branch_is_found_before_the_sweep(load: Callable[[str], Sweep]) -> None:
    with pytest.raises(SpaceError, match="freeze_layers is -1"):
        load(HEAD + CONDITIONAL.replace('"freeze_layers", 0, 1', '"freeze_layers", -1, -1'))


def test_a_dict_of_distributions_is_a_space() -> None:
    sweep = Sweep(
        {
            "learning_rate": FloatDistribution(1e-5, 1e-2, log=True),
            "lora_rank": IntDistribution(2, 4),
        }
    )
    check_space(sweep)
    swept, settings = suggest(sweep, optuna.create_study().ask())
    assert set(swept) == {"learning_rate", "lora_rank"}
    assert settings.lora_rank == swept["lora_rank"]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"learning_rate": "1e-4"}, "Learning_rate takes float"),
        ({"learning_rate": 0.0}, "above 0"),
        ({"lora_dropout": 1.0}, "below 1"),
        ({"learning_rate": math.inf}, "no infinity"),
        ({"learning_rate": math.nan}, "above 0"),
        ({"voice_prompt_drop": 1.5}, "from 0 to 1"),
        ({"ema_decay": 0.0}, "above 0"),
        ({"seed": -1}, "at least 0"),
        ({"optimizer": "adanw"}, "choose among adamw, lion"),
        ({"schedule": "cosin"}, "choose among constant, linear"),
        ({"precision": "fp16"}, "choose among float32, bf16"),
        ({"ema_parts": "head"}, "choose among all, heads"),
        ({"lora_head": "none"}, "choose among lora, full, frozen"),
        ({"lora_connectors": "none"}, "choose among lora, full, frozen"),
        ({"lora_targets": "(q"}, "no regular expression"),
        ({"optimizer": "schedule_free_adamw"}, "schedule is 'cosine' with schedule_free_adamw"),
        (
            {"optimizer": "schedule_free_adamw", "schedule": "constant", "ema_decay": 0.9},
            "averages the weights itself",
        ),
        ({"schedule": "wsd", "warmup_fraction": 0.6, "cooldown_fraction": 0.6}, "over 1 together"),
        ({"diffusion_weight": 0.0, "stop_weight": 0.0}, "both 0"),
        ({"batch_clips": True}, "batch_clips is True"),
        ({"patience_reports": 0}, "at least 1"),
    ],
)
def test_values_are_checked(chosen: Mapping[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=f"(?i){message}"):
        settings_with(TrialSettings(), chosen)
    with pytest.raises(SpaceError, match=f"(?i){message}"):
        check_space(
            Sweep({}, settings=TrialSettings(**chosen))
        )  # what the space leaves alone is looked at too


def test_each_choice_is_one_that_training_has() -> None:
    assert set(OPTIMIZERS) == set(optim.OPTIMIZERS)
    assert set(SCHEDULES) == set(schedules.SCHEDULES)


def test_trials_are_of_the_sweeps_seed_unless_they_have_their_own() -> None:
    trial = optuna.create_study().ask()
    assert suggest(Sweep({}, seed=7), trial)[1].seed == 7
    assert suggest(Sweep({}, seed=7, settings=TrialSettings(seed=3)), trial)[1].seed == 3
    assert suggest(Sweep(lambda trial: {"seed": 5}, seed=7), trial)[1].seed == 5


def test_no_patience_is_a_value() -> None:
    assert (
        settings_with(
            TrialSettings(patience_reports=3), {"patience_reports": None}
        ).patience_reports
        is None
    )


def test_a_dict_takes_every_kind_of_distribution_and_nothing_else() -> None:
    space = {
        "learning_rate": FloatDistribution(1e-5, 1e-3, log=True),
        "lora_rank": IntDistribution(4, 16, step=4),
        "optimizer": CategoricalDistribution(["adamw", "lion"]),
    }
    trial = optuna.create_study().ask()
    swept, settings = suggest(Sweep(space=space), trial)
    assert set(swept) == set(space)
    assert settings.lora_rank in (4, 8, 12, 16)
    assert trial.distributions == space
    with pytest.raises(SpaceError, match="learning_rate is a tuple"):
        check_space(Sweep(space={"learning_rate": (1e-5, 1e-3)}))  # type: ignore[dict-item]

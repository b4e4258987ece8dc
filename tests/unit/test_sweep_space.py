"""Search spaces and budgets: what a user may write, and what is said of what they may not."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from tests.unit.test_config import UNUSABLE_SETTINGS
from vibesweep.config import Budget, Sweep, TrialSettings
from vibesweep.errors import CombinationError, SpaceError
from vibesweep.sweep.search.fixed import with_fixed
from vibesweep.sweep.search.space import check_space, points_of, settings_with, suggest
from vibesweep.sweep.search.space_file import load_space
from vibesweep.sweep.search.sweep_search import SweepSearch

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
            HEAD + "sweep = Sweep({}, budget=Budget(max_epochs=2, grace_epochs=3))\n",
            r"my_space\.py:2: grace_epochs is 3.* Choose 0 < grace_epochs <= max_epochs",
        ),
        (
            HEAD + "sweep = Sweep({}, metric='loss')\n",
            r"my_space\.py:2: TypeError: .*'metric'",
        ),
        (
            FUNCTION + "    trial.suggest_float('rate', 0, 1)\nsweep = Sweep(space)\n",
            r"my_space\.py:3: suggests rate\. Known are .*seed",
        ),
        (
            FUNCTION + "    return {'seed': 1.5}\nsweep = Sweep(space)\n",
            r"my_space\.py:3: seed is 1\.5\. Seed takes int",
        ),
        (
            FUNCTION + "    return {'lora_rank': 0}\nsweep = Sweep(space)\n",
            r"my_space\.py:3: lora_rank is 0\. Choose at least 1",
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


@pytest.mark.parametrize(("chosen", "message"), UNUSABLE_SETTINGS)
def test_values_that_no_trial_can_use_are_refused_with_the_place_of_the_space(
    chosen: Mapping[str, Any], message: str
) -> None:
    with pytest.raises(SpaceError, match=f"(?i){message}") as caught:
        settings_with(TrialSettings(), chosen, "my_space.py")
    assert caught.value.where == "my_space.py"
    with pytest.raises(SpaceError, match=f"(?i){message}"):
        check_space(Sweep(lambda trial: chosen))


def test_values_are_checked_together_with_what_the_space_leaves_alone() -> None:
    fixed = TrialSettings(optimizer="adamw", schedule="linear")
    with pytest.raises(SpaceError, match="schedule is 'linear' with schedule_free_adamw"):
        check_space(Sweep(lambda trial: {"optimizer": "schedule_free_adamw"}, settings=fixed))


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


def conditional(trial: optuna.Trial) -> None:
    trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    trial.suggest_float("lora_dropout", 0.0, 0.5, step=0.1)
    if trial.suggest_categorical("method", ["lora", "freeze"]) == "lora":
        trial.suggest_int("lora_rank", 4, 16, step=4)
    else:
        trial.suggest_int("freeze_layers", 0, 1)


POINT = {"learning_rate": 1e-3, "lora_dropout": 0.3, "method": "lora", "lora_rank": 8}


@pytest.mark.parametrize("space", [conditional, functools.partial(conditional)])
def test_points_that_the_space_can_make(space: Any) -> None:
    points = (POINT, {**POINT, "lora_dropout": 0, "learning_rate": 1e-4})
    first = check_space(Sweep(space, try_first=points)).first
    assert [settings.learning_rate for settings in first] == [1e-3, 1e-4]
    assert [settings.lora_rank for settings in first] == [8, 8]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 2e-2}, r"learning_rate is 0\.02\. Choose 0\.0001 to 0\.01"),
        ({"learning_rate": "1e-3"}, "learning_rate is '1e-3'. Learning_rate takes float"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"lora_dropout": 0.25}, "a multiple of 0.1, the space's step"),
        ({"lora_rank": 6}, "a multiple of 4, the space's step"),
        ({"lora_rank": 8.0}, "lora_rank is 8.0. Lora_rank takes int"),
        ({"lora_rank": True}, "lora_rank is True. Lora_rank takes int"),
        ({"method": "full"}, "choose among the space's 'lora', 'freeze'"),
        ({"method": 1}, "method is 1"),
        ({"method": "freeze"}, "it has no freeze_layers, which the space suggests"),
        ({"method": "freeze", "freeze_layers": 1}, "does not suggest lora_rank"),
        ({"lora_rnk": 8}, r"does not suggest lora_rnk.*perhaps lora_rank is meant"),
    ],
)
def test_points_that_the_space_cannot_make(change: dict[str, Any], message: str) -> None:
    points = (POINT, {**POINT, **change})
    with pytest.raises(SpaceError, match=rf"(?i)try_first\[1\]: .*{message}"):
        check_space(Sweep(conditional, try_first=points))


def test_a_point_is_held_against_a_dict_of_distributions_too() -> None:
    space = {"lora_rank": IntDistribution(2, 4), "seed": CategoricalDistribution([1, 2])}
    check_space(Sweep(space, try_first=({"lora_rank": 2, "seed": 1},)))
    with pytest.raises(SpaceError, match="choose 2 to 4".capitalize()):
        check_space(Sweep(space, try_first=({"lora_rank": 9, "seed": 1},)))
    with pytest.raises(SpaceError, match="seed is True"):
        check_space(Sweep(space, try_first=({"lora_rank": 2, "seed": True},)))


def test_a_point_whose_settings_do_not_go_together_is_an_error() -> None:
    space = {"optimizer": CategoricalDistribution(["adamw", "schedule_free_adamw"])}
    with pytest.raises(CombinationError, match=r"try_first\[0\].*with schedule_free_adamw"):
        check_space(Sweep(space, try_first=({"optimizer": "schedule_free_adamw"},)))


def test_a_branch_that_one_trial_in_thousands_takes_is_looked_into() -> None:
    def space(trial: optuna.Trial) -> dict[str, Any]:
        if trial.suggest_int("batch_clips", 1, 10_000) == 10_000:
            if trial.suggest_categorical("schedule", ["linear", "wsd"]) == "wsd":
                return {"lora_rank": trial.suggest_int("lora_alpha", 0, 5)}
        return {}

    with pytest.raises(SpaceError, match="lora_rank is 0"):
        check_space(Sweep(space))


def test_both_ends_of_a_range_are_looked_at() -> None:
    with pytest.raises(SpaceError, match=r"lora_dropout is 1\.0\. Choose below 1"):
        check_space(Sweep({"lora_dropout": FloatDistribution(0.0, 1.0)}))


def test_the_rehearsal_says_how_much_does_not_go_together() -> None:
    space = {"optimizer": CategoricalDistribution(["adamw", "lion", "schedule_free_adamw"])}
    rehearsal = check_space(Sweep(space))
    assert 0.2 < len(rehearsal.refusals) / len(rehearsal.at_random) < 0.5
    assert {settings.optimizer for settings in rehearsal.settings} == {"adamw", "lion"}
    again = check_space(Sweep(space))
    assert again.settings == rehearsal.settings, "the draws are seeded"


# Values that the command line fixes


def rates_and_ranks(trial: optuna.Trial) -> None:
    trial.suggest_float("learning_rate", 1e-5, 1e-2, log=True)
    if trial.suggest_categorical("method", ["lora", "full"]) == "lora":
        trial.suggest_int("lora_rank", 4, 64)


@pytest.mark.parametrize(
    ("written", "fixed"),
    [
        ("learning_rate=1e-3", {"learning_rate": 1e-3}),
        ("lora_rank = 8", {"lora_rank": 8}),
        ("method=full", {"method": "full"}),
        ("lora_dora=true", {"lora_dora": True}),
        ("ema_decay=none", {"ema_decay": None}),
        (r"lora_targets=.*\.q_proj", {"lora_targets": r".*\.q_proj"}),
    ],
)
def test_a_fixed_value_is_read_as_it_is_meant(written: str, fixed: dict[str, Any]) -> None:
    sweep = with_fixed(Sweep(rates_and_ranks), [written])
    assert sweep.fixed == fixed
    (name, value) = next(iter(fixed.items()))
    for settings in check_space(sweep).settings:
        assert getattr(settings, name) == value


def test_a_fixed_choice_leads_into_its_branch_and_is_no_swept_value() -> None:
    sweep = with_fixed(Sweep(rates_and_ranks), ["method=lora", "lora_rank=9"])
    trial = optuna.create_study().ask()
    swept, settings = suggest(sweep, trial)
    assert set(swept) == {"learning_rate"}
    assert (settings.method, settings.lora_rank) == ("lora", 9)


def test_points_lose_what_is_fixed_and_those_of_other_branches_are_left_out() -> None:
    full = {"learning_rate": 1e-3, "method": "full"}
    lora = {"learning_rate": 2e-3, "method": "lora", "lora_rank": 8}
    sweep = with_fixed(Sweep(rates_and_ranks, try_first=(full, lora)), ["method=full"])
    assert points_of(sweep) == [{"learning_rate": 1e-3}]
    assert [found.learning_rate for found in check_space(sweep).first] == [1e-3]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("learning_rate", "--set: 'learning_rate' has no value. Write it as name=value"),
        ("lerning_rate=1", "--set: fixes lerning_rate. Perhaps learning_rate is meant"),
        ("lora_rank=0", "--set: lora_rank is 0. Choose at least 1"),
        ("lora_rank=many", "--set: lora_rank is 'many'. Lora_rank takes int"),
    ],
)
def test_a_value_that_cannot_be_fixed(written: str, message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        check_space(with_fixed(Sweep(rates_and_ranks), [written]))


# Constraints of the space's own


def constrained(trial: optuna.Trial) -> None:
    rate = trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)
    rank = trial.suggest_int("lora_rank", 4, 64, log=True)
    trial.set_constraint("rate by rank", rate * rank - 0.05)


def test_what_breaks_a_constraint_is_told_and_never_trained() -> None:
    rehearsal = check_space(Sweep(constrained))
    assert rehearsal.refusals
    assert "breaks its constraint 'rate by rank'" in str(rehearsal.refusals[0])
    assert all(found.learning_rate * found.lora_rank <= 0.05 for found in rehearsal.settings)
    search = SweepSearch(Sweep(constrained, budget=Budget(9, 3), trials=12))
    for number in range(12):
        swept = search.suggest(str(number))["swept"]
        assert swept["learning_rate"] * swept["lora_rank"] <= 0.05


def test_a_constraint_that_nothing_keeps_is_an_error_with_its_line(
    load: Callable[[str], Sweep],
) -> None:
    text = FUNCTION + "    trial.set_constraint('never', 1)\nsweep = Sweep(space)\n"
    with pytest.raises(CombinationError, match=r"my_space\.py:3: breaks its constraint 'never'"):
        load(text)


def test_a_point_that_breaks_a_constraint_is_an_error() -> None:
    point = {"learning_rate": 1e-2, "lora_rank": 64}
    with pytest.raises(CombinationError, match=r"try_first\[0\]: breaks its constraint"):
        check_space(Sweep(constrained, try_first=(point,)))

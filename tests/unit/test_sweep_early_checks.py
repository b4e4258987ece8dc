"""What is said of a sweep before Ray starts, and that its name is still free then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests import tiny
from vibesweep.config import Sweep, TrialResources, TrialSettings
from vibesweep.errors import (
    CorpusError,
    ModelError,
    ShardsError,
    SpaceError,
    SweepError,
    VibesweepError,
)
from vibesweep.models.registry import ModelRef
from vibesweep.sweep.checks import settings as settings_checks
from vibesweep.sweep.checks.early import check_sweep, check_this_machine
from vibesweep.training.fit import ModelFit

Check = Callable[..., list[str]]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with a base of two layers and shards of 24 training and 6 validation clips."""
    folder = tmp_path_factory.mktemp("early")
    tiny.write_shards(folder / "shards")
    tiny.write_base(folder / "base")
    return folder


@pytest.fixture
def check(place: Path, tmp_path: Path) -> Check:
    """Check a sweep of nothing but the changes; return what was said."""

    def check_changed(settings: dict[str, Any] | None = None, **changes: Any) -> list[str]:
        plain = {"space": {}, "corpus": str(place / "shards"), "model": str(place / "base")}
        sweep = Sweep(**plain | {"settings": TrialSettings(**settings or {})} | changes)
        said: list[str] = []
        check_sweep(sweep, "tried", tmp_path, said.append)
        assert not (tmp_path / "sweeps").exists(), "the name is free"
        return [line for line in said if "single clip" not in line]

    return check_changed


def one_of(name: str, *choices: Any, **fixed: Any) -> Callable[[optuna.Trial], dict[str, Any]]:
    def space(trial: optuna.Trial) -> dict[str, Any]:
        trial.suggest_categorical(name, choices)
        return fixed

    return space


def test_a_sweep_that_is_sound_needs_no_word(check: Check) -> None:
    assert check() == []


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"lora_targets": "no_such_layer"}, ModelError, "no LoRA targets 'no_such_layer'"),
        ({"lora_targets": "q_proj"}, ModelError, r"whole names such as backbone\.layers"),
        ({"method": "freeze", "freeze_layers": 3}, ModelError, "freeze_layers is 3.*0 to 2"),
        ({"optimizer": "adamw_8bit"}, SpaceError, "adamw_8bit.*no CUDA.*gpus_per_worker is 0"),
        ({"silence_after_s": 0.2}, ModelError, "silence.*does not take it"),
        (
            {"ema_decay": 0.9, "ema_parts": "heads", "lora_head": "frozen"},
            ModelError,
            "nothing of the heads is trained",
        ),
    ],
)
def test_settings_that_no_trial_of_the_model_can_use(
    check: Check, settings: dict[str, Any], error: type[VibesweepError], message: str
) -> None:
    with pytest.raises(error, match=message):
        check(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"lora_targets": r".*\.q_proj"},
        {"method": "freeze", "freeze_layers": 2},
        {"method": "full", "lora_targets": "no_such_layer"},
        {"method": "full", "freeze_layers": 99},
        {"gradient_checkpointing": True, "attention_dropout": 0.1, "compile": True},
        {"ema_decay": 0.9, "ema_parts": "heads"},
    ],
)
def test_settings_that_the_model_takes(check: Check, settings: dict[str, Any]) -> None:
    assert check(settings) == []


def test_the_share_of_a_space_that_is_refused_is_told(check: Check) -> None:
    (line,) = check(space=one_of("freeze_layers", 1, 2, 3, 4, method="freeze"))
    share = int(line.partition(" %")[0])
    assert 40 < share < 60
    assert "freeze_layers is " in line
    assert "such trials fail" in line


def test_a_point_of_try_first_that_the_model_refuses_is_an_error(check: Check) -> None:
    space = one_of("freeze_layers", 1, 3, method="freeze")
    with pytest.raises(ModelError, match=r"try_first\[1\].*freeze_layers is 3"):
        check(space=space, try_first=({"freeze_layers": 1}, {"freeze_layers": 3}))


def test_points_that_no_trial_is_left_for_are_told(check: Check) -> None:
    points = tuple({"lora_rank": rank} for rank in (2, 4, 8))
    (line,) = check(space=one_of("lora_rank", 2, 4, 8), try_first=points, trials=1)
    assert "the last 2 of try_first are not tried" in line


def test_settings_that_do_not_go_together_are_told_with_their_share(check: Check) -> None:
    (line,) = check(space=one_of("optimizer", "adamw", "schedule_free_adamw"))
    assert "drawn again: " in line
    assert "schedule is 'cosine' with schedule_free_adamw" in line


def test_an_empty_validation_split(check: Check, tmp_path: Path) -> None:
    shards = tiny.write_shards(tmp_path / "four", 4)  # each fifth clip is held out
    with pytest.raises(ShardsError, match=r"four: the val split is empty.*--val-fraction"):
        check(corpus=str(shards))


@pytest.mark.parametrize(("clips", "held_out"), [(5, "1 validation clip is"), (20, "4 validation")])
def test_few_validation_clips_are_told(
    check: Check, tmp_path: Path, clips: int, held_out: str
) -> None:
    shards = tiny.write_shards(tmp_path / "few", clips)
    lines = check({"batch_clips": 2}, corpus=str(shards))
    assert len(lines) == 1
    assert held_out in lines[0]
    assert "no ranking" in lines[0]


def test_fewer_clips_than_workers(check: Check) -> None:
    with pytest.raises(ShardsError, match="24 training clips cannot feed 25 workers"):
        check(resources=TrialResources(workers=25))


@pytest.mark.parametrize(
    ("settings", "workers", "message"),
    [
        ({"batch_clips": 25}, 1, "batch_clips is 25, and there are 24 training clips"),
        ({"batch_seconds": 1e4}, 1, "batch_seconds is 10000, and there are"),
        ({"batch_clips": 2}, 3, "batch_clips is 2, for 3 workers: 1 of them"),
    ],
)
def test_steps_that_hold_less_than_they_are_meant_to_are_told(
    check: Check, settings: dict[str, Any], workers: int, message: str
) -> None:
    (line,) = check(settings, resources=TrialResources(workers=workers))
    assert message in line


def test_a_corpus_of_one_recording(check: Check, tmp_path: Path) -> None:
    corpus = tmp_path / "talk"
    corpus.mkdir()
    (corpus / "one.wav").write_bytes(b"")
    (corpus / "one.txt").write_text("Hello.")
    table = "id,audio_path,text_path,num_speakers,duration_sec\none,one.wav,one.txt,1,2.0\n"
    (corpus / "metadata.csv").write_text(table)
    with pytest.raises(CorpusError, match=r"talk: it has one recording.*held out"):
        check(corpus=str(corpus))


def test_a_taken_name_comes_first(place: Path, tmp_path: Path) -> None:
    (tmp_path / "sweeps" / "mine" / "checkpoints" / "mine_0").mkdir(parents=True)
    with pytest.raises(SweepError, match="there is a sweep named mine already"):
        check_sweep(Sweep({}, model="nothing"), "mine", tmp_path, print)


def test_bitsandbytes_is_missed_where_this_machine_trains(
    monkeypatch: pytest.MonkeyPatch, place: Path, tmp_path: Path
) -> None:
    sweep = Sweep(
        {},
        corpus=str(place / "shards"),
        model=str(place / "base"),
        settings=TrialSettings(optimizer="adamw_8bit"),
        resources=TrialResources(gpus_per_worker=1),
    )
    # A cluster's workers may have what its head lacks: nothing is said without Ray
    checked = check_sweep(sweep, "tried", tmp_path, lambda line: None)
    monkeypatch.setattr(settings_checks, "find_spec", lambda name: None)
    with pytest.raises(SpaceError, match="finds no bitsandbytes"):
        check_this_machine(checked, print)
    monkeypatch.setattr(settings_checks, "find_spec", lambda name: object())
    check_this_machine(checked, print)


def test_the_skeleton_has_the_models_names_and_no_weights(place: Path) -> None:
    model = ModelRef.parse(str(place / "base"))
    skeleton = model.family.skeleton(model.address)
    whole = model.load()
    assert all(part.is_meta for part in skeleton.parameters())
    assert [name for name, _ in skeleton.named_modules()] == [
        name for name, _ in whole.named_modules()
    ]
    assert {name: part.shape for name, part in skeleton.named_parameters()} == {
        name: part.shape for name, part in whole.named_parameters()
    }


def test_a_model_is_looked_at_once_for_all_settings_that_ask_the_same(place: Path) -> None:
    fit = ModelFit(ModelRef.parse(str(place / "base")))
    wrong = TrialSettings(lora_targets="nothing")
    first = fit.refusal(wrong)
    assert first is not None
    assert fit.refusal(replace(wrong, lora_rank=64, learning_rate=1e-2)) is first
    assert fit.refusal(replace(wrong, lora_targets="nobody")) is not first

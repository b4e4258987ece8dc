"""What a trial's model shares with its base, what it copies, and how a trained one is rebuilt."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import (
    LORA_TARGETS,
    adapted_layers,
    for_trial,
    load_trained,
    lora_config,
    merged,
    plain_model,
    trained_parameters,
)
from vibesweep.models.mel.model import MelModel
from vibesweep.models.speech_model import SpeechModel

LORA = TrialSettings(lora_rank=4)
PEFT_PREFIX = "base_model.model."
METHODS: list[dict[str, Any]] = [
    {"method": "full"},
    {"method": "freeze", "freeze_layers": 1},
    {"method": "lora"},
    {"method": "lora", "lora_head": "full"},
    {"method": "lora", "lora_head": "frozen", "lora_connectors": "full", "lora_dora": True},
]


@pytest.fixture
def base() -> MelModel:
    return tiny.model()


def addresses(tensors: Iterable[Tensor]) -> set[int]:
    """Where the tensors' numbers lie in memory: equal addresses mean shared numbers."""
    return {tensor.data_ptr() for tensor in tensors}


def names_of_trained(model: nn.Module) -> set[str]:
    return {name for name, part in model.named_parameters() if part.requires_grad}


def trained_names(base: SpeechModel, settings: TrialSettings) -> set[str]:
    return names_of_trained(for_trial(base, settings))


def trained_tensors(model: nn.Module) -> dict[str, Tensor]:
    parameters = dict(model.named_parameters())
    return {name: parameters[name].detach().clone() for name in names_of_trained(model)}


def with_noise(model: nn.Module) -> nn.Module:
    """Change everything that the model trains, in place."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for part in model.parameters():
            if part.requires_grad:
                part.add_(torch.randn(part.shape, generator=generator), alpha=0.1)
    return model


def loss_of(model: nn.Module, base: SpeechModel) -> float:
    clips = [base.encode(row) for row in tiny.clips(12)]
    batch = base.collator(clips).validation(clips[:2], 2)
    with torch.no_grad():
        return float(model.eval()(batch).diffusion)


@pytest.mark.parametrize("change", METHODS)
def test_training_a_trial_leaves_its_base_as_it_was(base: MelModel, change: dict[str, Any]) -> None:
    before = {name: part.clone() for name, part in base.state_dict().items()}
    with_noise(for_trial(base, TrialSettings(**change)))
    after = base.state_dict()
    assert [name for name, part in before.items() if not torch.equal(part, after[name])] == []
    assert names_of_trained(base) == set()


def test_full_copies_and_trains_every_weight(base: MelModel) -> None:
    model = for_trial(base, TrialSettings(method="full"))
    assert isinstance(model, MelModel)
    assert names_of_trained(model) == {name for name, _ in base.named_parameters()}
    assert not addresses(model.parameters()) & addresses(base.parameters())
    own, original = model.state_dict(), base.state_dict()
    assert [name for name, part in own.items() if not torch.equal(part, original[name])] == []


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_freeze_trains_all_but_the_embeddings_and_the_lowest_layers(
    base: MelModel, layers: int
) -> None:
    model = for_trial(base, TrialSettings(method="freeze", freeze_layers=layers))
    lowest = [f"backbone.layers.{layer}." for layer in range(layers)]
    frozen = ("backbone.embed_tokens.", *lowest)
    names = {name for name, _ in base.named_parameters()}
    assert names_of_trained(model) == {name for name in names if not name.startswith(frozen)}
    assert not addresses(model.parameters()) & addresses(base.parameters())


def test_more_layers_than_there_are_cannot_be_frozen(base: MelModel) -> None:
    with pytest.raises(ModelError, match=r"freeze_layers is 3.*Choose 0 to 2"):
        for_trial(base, TrialSettings(method="freeze", freeze_layers=3))


@pytest.mark.parametrize("head", ["lora", "full", "frozen"])
def test_lora_shares_whatever_it_does_not_train(base: MelModel, head: str) -> None:
    model = for_trial(base, dataclasses.replace(LORA, lora_head=head))
    frozen = [part for part in model.parameters() if not part.requires_grad]
    trained = [part for part in model.parameters() if part.requires_grad]
    shared = addresses(base.parameters())
    assert addresses(frozen) <= shared
    assert not addresses(trained) & shared
    assert addresses(model.buffers()) <= addresses(base.buffers())

    in_full = {name for name in names_of_trained(model) if "lora_" not in name}
    heads = {name for name, _ in base.named_parameters() if name.startswith(base.heads)}
    assert in_full == ({PEFT_PREFIX + name for name in heads} if head == "full" else set())
    adapts_head = any(".head." in name for name in names_of_trained(model) - in_full)
    assert adapts_head == (head == "lora")


def test_two_trials_share_their_base_and_nothing_else(base: MelModel) -> None:
    first, second = for_trial(base, LORA), for_trial(base, LORA)
    common = addresses(first.parameters()) & addresses(second.parameters())
    assert common == addresses(base.parameters())


@pytest.mark.parametrize("change", METHODS)
def test_a_fresh_trial_speaks_like_its_base(base: MelModel, change: dict[str, Any]) -> None:
    expected = loss_of(base, base)
    assert loss_of(for_trial(base, TrialSettings(**change)), base) == pytest.approx(expected)


@pytest.mark.parametrize("change", METHODS)
def test_merging_gives_a_plain_model_that_speaks_alike(
    base: MelModel, change: dict[str, Any]
) -> None:
    model = with_noise(for_trial(base, TrialSettings(**change)))
    expected = loss_of(model, base)
    plain = merged(model)
    assert list(plain.state_dict()) == list(base.state_dict())
    assert loss_of(plain, base) == pytest.approx(expected, rel=1e-5)
    assert loss_of(model, base) == expected, "the trial's own model stays as it is"


def test_the_plain_model_holds_the_adapters_unmerged(base: MelModel) -> None:
    model = for_trial(base, LORA)
    plain = plain_model(model)
    assert isinstance(plain, MelModel)
    assert addresses(plain.parameters()) == addresses(model.parameters())
    assert any("lora_A" in name for name, _ in plain.named_parameters())
    assert plain_model(base) is base


def test_trained_and_all_parameters_are_counted(base: MelModel) -> None:
    total = sum(part.numel() for part in base.parameters())
    layers = dict(base.named_modules())
    pairs = [layers[name] for name in adapted_layers(base, LORA)]
    adapters = sum(
        LORA.lora_rank * (layer.in_features + layer.out_features)
        for layer in pairs
        if isinstance(layer, nn.Linear)
    )
    assert trained_parameters(base) == (0, total)
    assert trained_parameters(for_trial(base, LORA)) == (adapters, total + adapters)
    assert trained_parameters(for_trial(base, TrialSettings(method="full"))) == (total, total)


def test_each_named_target_adapts_its_layers(base: MelModel) -> None:
    attention, both = (
        set(adapted_layers(base, dataclasses.replace(LORA, lora_targets=targets)))
        for targets in LORA_TARGETS
    )
    projections = [f"self_attn.{projection}_proj" for projection in "qkvo"]
    assert attention == {f"backbone.layers.{n}.{name}" for n in range(2) for name in projections}
    feed_forward = {re.sub(r"\d+", "#", name) for name in both - attention}
    assert attention < both
    assert feed_forward == {
        f"{block}.{projection}_proj"
        for block in ("backbone.layers.#.mlp", "head.layers.#.ffn")
        for projection in ("gate", "up", "down")
    }


def test_a_pattern_that_matches_no_layer_names_some(base: MelModel) -> None:
    message = r"no LoRA targets 'q_proj'.*such as backbone\.layers\.0\.self_attn\.q_proj, \S+"
    with pytest.raises(ModelError, match=message) as caught:
        adapted_layers(base, dataclasses.replace(LORA, lora_targets="q_proj"))
    assert caught.value.where == "lora_targets"


@pytest.mark.parametrize("how", ["lora", "full", "frozen"])
def test_connectors_are_trained_as_asked(base: MelModel, how: str) -> None:
    targets = r"connector\.linear_1|backbone.*"
    settings = dataclasses.replace(LORA, lora_targets=targets, lora_connectors=how)
    connectors = {name for name, _ in base.named_parameters() if name.startswith("connector.")}
    trained = {name.removeprefix(PEFT_PREFIX) for name in trained_names(base, settings)}
    assert ("connector.linear_1" in adapted_layers(base, settings)) == (how == "lora")
    assert trained & connectors == (connectors if how == "full" else set())


def test_a_family_without_connectors_says_so(
    base: MelModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MelModel, "connectors", ())
    with pytest.raises(ModelError, match="the family 'mel' has none") as caught:
        for_trial(base, dataclasses.replace(LORA, lora_connectors="full"))
    assert caught.value.where == "lora_connectors"


def test_alpha_follows_the_rank_unless_it_is_given() -> None:
    settings = TrialSettings(lora_rank=6, lora_alpha_ratio=2.5, lora_dropout=0.1)
    config = lora_config(settings, ["layer"])
    assert (config.r, config.lora_alpha, config.lora_dropout) == (6, 15.0, 0.1)
    given = lora_config(dataclasses.replace(settings, lora_alpha=7.0), ["layer"])
    assert given.lora_alpha == 7.0


@pytest.mark.parametrize("change", METHODS)
def test_a_trained_model_is_rebuilt_from_what_it_trained(
    base: MelModel, change: dict[str, Any]
) -> None:
    settings = TrialSettings(**change)
    model = with_noise(for_trial(base, settings))
    again = load_trained(base, settings, trained_tensors(model), "here")
    own, original = again.state_dict(), model.state_dict()
    assert list(own) == list(original)
    assert [name for name, part in own.items() if not torch.equal(part, original[name])] == []
    assert loss_of(again, base) == loss_of(model, base) != loss_of(base, base)


def test_tensors_of_other_settings_are_refused(base: MelModel) -> None:
    tensors = trained_tensors(for_trial(base, LORA))
    other = dataclasses.replace(LORA, lora_head="full")
    with pytest.raises(ModelError, match=r"there: .*other parameters than its settings train"):
        load_trained(base, other, tensors, "there")


def test_tensors_of_another_shape_are_refused_even_if_they_could_be_broadcast(
    base: MelModel,
) -> None:
    settings = TrialSettings(method="full")
    tensors = trained_tensors(for_trial(base, settings))
    name = "backbone.norm.weight"
    for count in (1, 5):
        message = rf"there: the checkpoint's {name} has shape \[{count}\], and \[32\]"
        with pytest.raises(ModelError, match=message):
            load_trained(base, settings, {**tensors, name: tensors[name][:count]}, "there")

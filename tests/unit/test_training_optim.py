"""Each optimizer's first steps against a NumPy transcription of its paper.

Also which parameters decay, and which ones Muon leaves to AdamW.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from tests import tiny
from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import for_trial
from vibesweep.training.optim import optimizers as optim
from vibesweep.training.optim.averaging import build_averaging
from vibesweep.training.optim.optimizers import (
    OPTIMIZERS,
    build_optimizer,
    muon_groups,
    parameter_groups,
)

Array = npt.NDArray[np.float64]
Rule = Callable[[list[Array], list[list[Array]], float, float], list[Array]]
"""(matrix and vector, the gradients of each step, rate, decay of the matrix) to both after the last
step."""

STEPS = 3


class Small(nn.Module):
    """A matrix that decays and a vector that does not."""

    edge_layers = r"^$"

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3, dtype=torch.float64)


def each(rule: Callable[[Array, list[Array], float, float], Array]) -> Rule:
    """Make a rule of one parameter a rule of all; only the first decays."""

    def apply(
        starts: list[Array], gradients: list[list[Array]], rate: float, decay: float
    ) -> list[Array]:
        return [
            rule(x, [g[i] for g in gradients], rate, decay if i == 0 else 0.0)
            for i, x in enumerate(starts)
        ]

    return apply


def adam_steps(gradients: list[Array], beta1: float = 0.9, beta2: float = 0.98) -> Iterator[Array]:
    """Kingma and Ba 2015, algorithm 1: each step's bias-corrected quotient."""
    m, v = np.zeros_like(gradients[0]), np.zeros_like(gradients[0])
    for t, g in enumerate(gradients, 1):
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        yield (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + 1e-8)


def adamw(x: Array, gradients: list[Array], rate: float, decay: float) -> Array:
    """Loshchilov and Hutter 2019, algorithm 2; as everybody runs it, decay is times the rate."""
    for step in adam_steps(gradients):
        x = x - rate * decay * x - rate * step
    return x


def lion(x: Array, gradients: list[Array], rate: float, decay: float) -> Array:
    """Chen et al. 2023, algorithm 2."""
    m = np.zeros_like(x)
    for g in gradients:
        x = x - rate * (np.sign(0.9 * m + 0.1 * g) + decay * x)
        m = 0.99 * m + 0.01 * g
    return x


def sgd(x: Array, gradients: list[Array], rate: float, decay: float) -> Array:
    """Sutskever et al. 2013 in torch's form; the decay is part of the gradient."""
    buffer = np.zeros_like(x)
    for number, g in enumerate(gradients):
        g = g + decay * x
        buffer = g if number == 0 else 0.9 * buffer + g
        x = x - rate * (g + 0.9 * buffer)
    return x


def adafactor(x: Array, gradients: list[Array], rate: float, decay: float) -> Array:
    """Shazeer and Stern 2018, algorithms 4 and 5, with absolute steps."""
    row, column, whole = np.zeros(x.shape[:1]), np.zeros(x.shape[-1:]), np.zeros_like(x)
    for t, g in enumerate(gradients, 1):
        beta2, square = 1 - t**-0.8, g * g + 1e-30
        if x.ndim == 2:
            row = beta2 * row + (1 - beta2) * square.mean(1)
            column = beta2 * column + (1 - beta2) * square.mean(0)
            whole = np.outer(row, column) / row.mean()
        else:
            whole = beta2 * whole + (1 - beta2) * square
        update = g / np.sqrt(whole)
        update = update / max(1.0, float(np.sqrt((update**2).mean())))
        x = x - rate * decay * x - rate * update
    return x


def newton_schulz(g: Array) -> Array:
    """Jordan et al. 2024: five steps of a quintic that drives singular values towards 1."""
    x = g / np.linalg.norm(g)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


def muon(x: Array, gradients: list[Array], rate: float, decay: float) -> Array:
    """Jordan et al. 2024 with Nesterov momentum; step size and decay of Liu et al. 2025, eq. 4.

    Vectors are AdamW's.
    """
    if x.ndim == 1:
        return adamw(x, gradients, rate, decay)
    m = np.zeros_like(x)
    for g in gradients:
        m = 0.95 * m + 0.05 * g
        step = 0.2 * np.sqrt(max(x.shape)) * newton_schulz(0.05 * g + 0.95 * m)
        x = x - rate * decay * x - rate * step
    return x


def schedule_free(x: Array, gradients: list[Array], rate: float, decay: float) -> Array:
    """Defazio et al. 2024, algorithm 1: the average x, where the gradients are those at y."""
    z, v, squares = x.copy(), np.zeros_like(x), 0.0
    for t, g in enumerate(gradients, 1):
        y = 0.1 * z + 0.9 * x
        v = 0.98 * v + 0.02 * g * g
        z = z - rate * (g / (np.sqrt(v / (1 - 0.98**t)) + 1e-8) + decay * y)
        squares += rate**2
        x = (1 - rate**2 / squares) * x + rate**2 / squares * z
    return x


def prodigy(
    starts: list[Array], gradients: list[list[Array]], rate: float, decay: float
) -> list[Array]:
    """Mishchenko and Defazio 2024, algorithm 4, with their code's safeguard: s without the rate."""
    d = d0 = 1e-6
    beta1, beta2, beta3 = 0.9, 0.999, np.sqrt(0.999)
    at, first = [x.copy() for x in starts], starts
    m, v, s = ([np.zeros_like(x) for x in starts] for _ in range(3))
    r = 0.0
    for step in gradients:
        lr = d * rate
        r = beta3 * r + sum(
            d / d0 * lr * float((g * (x0 - x)).sum())
            for g, x0, x in zip(step, first, at, strict=True)
        )
        for i, g in enumerate(step):
            m[i] = beta1 * m[i] + (1 - beta1) * d * g
            v[i] = beta2 * v[i] + (1 - beta2) * d * d * g * g
            s[i] = beta3 * s[i] + d / d0 * d * g
        estimate = r / sum(float(np.abs(part).sum()) for part in s)
        d = max(d, estimate)
        for i, weight in enumerate((decay, 0.0)):
            at[i] = at[i] - lr * weight * at[i]
            at[i] = at[i] - lr * m[i] / (np.sqrt(v[i]) + d * 1e-8)
    return at


RULES: dict[str, tuple[Rule, float, float]] = {
    "adamw": (each(adamw), 0.01, 1e-9),
    "lion": (each(lion), 0.01, 1e-9),
    "sgd": (each(sgd), 0.01, 1e-9),
    "adafactor": (each(adafactor), 0.01, 1e-9),
    "muon": (each(muon), 0.01, 2.5e-4),  # the library orthogonalises in bfloat16
    "schedule_free_adamw": (each(schedule_free), 0.01, 1e-9),
    "prodigy": (prodigy, 1.0, 1e-9),
}
"""Rule, learning rate, and how far the library may be off."""


@pytest.mark.parametrize("name", RULES)
def test_the_first_steps_are_those_of_the_paper(name: str) -> None:
    rule, rate, tolerance = RULES[name]
    rng = np.random.default_rng(0)
    model = Small()
    parameters = [model.layer.weight, model.layer.bias]
    starts = [part.detach().numpy().copy() for part in parameters]
    gradients = [[rng.normal(size=x.shape) for x in starts] for _ in range(STEPS)]
    settings = TrialSettings(
        optimizer=name, learning_rate=rate, weight_decay=0.1, schedule="constant"
    )
    optimizer = build_optimizer(model, settings)
    for step in gradients:
        for part, g in zip(parameters, step, strict=True):
            part.grad = torch.tensor(g)
        optimizer.step()
    expected = rule(starts, gradients, rate, 0.1)
    with build_averaging(model, optimizer, settings).averaged():
        for part, start, wanted in zip(parameters, starts, expected, strict=True):
            moved = np.abs(wanted - start).max() / np.abs(start).max()
            assert moved > 10 * tolerance or name == "prodigy", "or this shows nothing"
            np.testing.assert_allclose(part.detach().numpy(), wanted, rtol=0, atol=tolerance)


def test_prodigy_finds_its_rate_within_some_steps() -> None:
    model = Small()
    optimizer = build_optimizer(model, TrialSettings(optimizer="prodigy", learning_rate=1.0))
    start = model.layer.bias.detach().clone()
    for _ in range(60):
        loss = (model.layer.bias - start - 3.0).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 3.0, "it began at 27, with a rate of a millionth"


def names_of(model: nn.Module, group: dict[str, list[nn.Parameter]]) -> set[str]:
    known = {id(part): name for name, part in model.named_parameters()}
    return {known[id(part)] for part in group["params"]}


def test_every_trained_parameter_is_in_one_group_and_muon_keeps_off_the_edges() -> None:
    model = for_trial(tiny.model(), TrialSettings(method="full"))
    groups = muon_groups(model, 0.1)
    assert [(group["hidden"], group["weight_decay"]) for group in groups] == [
        (True, 0.1),
        (False, 0.1),
        (False, 0.0),
    ]
    hidden, edges, vectors = (names_of(model, group) for group in groups)
    assert len(hidden) + len(edges) + len(vectors) == len(list(model.parameters()))
    assert edges == {
        "backbone.embed_tokens.weight",
        "connector.linear_1.weight",
        "head.noisy_images_proj.weight",
        "head.final_layer.linear_2.weight",
        "stop.weight",
    }
    assert {
        "backbone.layers.0.self_attn.q_proj.weight",
        "head.layers.0.ffn.up_proj.weight",
        "connector.linear_2.weight",
    } < hidden


def test_muon_takes_lora_s_pairs_and_leaves_dora_s_norms_and_a_full_stop_head_to_adamw() -> None:
    model = for_trial(tiny.model(), TrialSettings(lora_dora=True, lora_head="full"))
    hidden, edges, vectors = (names_of(model, group) for group in muon_groups(model, 0.1))
    pairs = {
        name for name, part in model.named_parameters() if "lora_A" in name or "lora_B" in name
    }
    assert pairs
    assert pairs <= hidden
    assert not any("magnitude" in name for name in hidden | edges)
    assert any("magnitude" in name for name in vectors)
    assert "base_model.model.stop.weight" in edges


def test_gains_and_biases_of_two_axes_do_not_decay() -> None:
    class TableNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(2, 3))
            self.bias = nn.Parameter(torch.zeros(2, 3))

    class Twofold(nn.Linear):
        def __init__(self) -> None:
            super().__init__(2, 2)
            self.bias = nn.Parameter(torch.zeros(1, 2))

    model = nn.Sequential(TableNorm(), Twofold())
    decayed, kept = parameter_groups(model, 0.1)
    assert names_of(model, decayed) == {"1.weight"}
    assert len(kept["params"]) == 3


def test_norms_and_biases_do_not_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2, bias=False))
    model[2].weight.requires_grad_(False)
    decayed, kept = parameter_groups(model, 0.1)
    assert [part.shape for part in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] == 0.1
    assert len(kept["params"]) == 3
    assert kept["weight_decay"] == 0.0


def test_eight_bits_without_a_gpu_are_told_before_anything_is_trained() -> None:
    with pytest.raises(ModelError, match=r"no CUDA device.*bitsandbytes"):
        build_optimizer(Small(), TrialSettings(optimizer="adamw_8bit"))


def test_eight_bits_come_from_bitsandbytes_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    library = ModuleType("bitsandbytes")
    vars(library)["optim"] = SimpleNamespace(
        AdamW8bit=lambda groups, **options: asked.append((groups, options))
    )
    monkeypatch.setattr(optim, "find_spec", lambda name: object())
    monkeypatch.setattr(optim, "import_module", lambda name: library)
    parameter = SimpleNamespace(is_cuda=True, requires_grad=True)
    model = SimpleNamespace(parameters=lambda: [parameter], named_modules=lambda: [])
    OPTIMIZERS["adamw_8bit"](model, TrialSettings(learning_rate=0.5))  # type: ignore[arg-type]
    assert asked == [([], {"lr": 0.5, "betas": (0.9, 0.98)})]


def test_the_page_on_spaces_lists_every_optimizer() -> None:
    page = (Path(__file__).parents[2] / "docs" / "spaces.md").read_text(encoding="utf-8")
    assert [name for name in OPTIMIZERS if f"`{name}`" not in page] == []

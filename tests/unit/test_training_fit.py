"""What a model's skeleton says of settings agrees with what the model says on a lane."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checkpoint import write_checkpoint
from vibesweep.config import TrialSettings
from vibesweep.models.registry import ModelRef
from vibesweep.training.fit import ModelFit


@pytest.fixture(scope="module")
def fit(tmp_path_factory: pytest.TempPathFactory) -> ModelFit:
    checkpoint = write_checkpoint(tmp_path_factory.mktemp("fit") / "checkpoint")
    return ModelFit(ModelRef.parse(f"vibevoice:{checkpoint}"))


def silence(name: str, seconds: float) -> TrialSettings:
    changes: dict[str, Any] = {name: seconds}
    return TrialSettings(**changes)


@pytest.mark.parametrize("name", ["silence_before_s", "silence_after_s"])
def test_vibevoice_takes_silence_before_its_shards_are_there(fit: ModelFit, name: str) -> None:
    assert fit.refusal(silence(name, 0.4)) is None
    assert fit.refusal(silence(name, 2.0)) is None
    refused = fit.refusal(silence(name, 2.2))
    assert refused is not None
    assert refused.where == name
    assert "hold 2 s" in refused.found

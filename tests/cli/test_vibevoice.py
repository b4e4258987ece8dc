"""The VibeVoice presets as a user runs them, on a small checkpoint and lanes of two workers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.checkpoint import write_checkpoint
from tests.cli.command import Vibesweep
from vibesweep.corpus.demo import write_demo_corpus

ROOT = Path(__file__).parents[2]
SPACE = """
import dataclasses
from pathlib import Path

from vibesweep import Budget, TrialResources
from vibesweep.sweep.search.space_file import load_space

preset = load_space(Path({preset!r}))
sweep = dataclasses.replace(
    preset,
    settings=dataclasses.replace(preset.settings, batch_clips=4, batch_seconds=None),
    budget=Budget(max_steps=4, grace_steps=2, reduction_factor=2),
    trials=3,
    resources=TrialResources(workers=2),
)
"""


@pytest.fixture(scope="module")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a checkpoint of as many layers as the released ones, and a corpus."""
    folder = tmp_path_factory.mktemp("staged")
    write_checkpoint(folder / "checkpoint", layers=28)
    write_demo_corpus(folder / "talks", recordings=12)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["vibevoice_lora", "vibevoice_full"])
def test_a_preset_runs_on_two_ddp_workers_and_speaks(
    preset: str, staged: Path, on_cluster: Vibesweep
) -> None:
    space = staged / f"{preset}.py"
    space.write_text(SPACE.format(preset=str(ROOT / "search_spaces" / f"{preset}.py")))
    options = ("--corpus", "talks", "--model", "vibevoice:checkpoint")
    on_cluster("run", space.name, *options, cwd=staged)
    record = json.loads((staged / "sweeps" / preset / "sweep.json").read_text())
    assert record["state"] == "done"
    failures = [trial["reason"] for trial in record["trials"] if trial["state"] == "failed"]
    assert failures == []
    best = staged / "sweeps" / preset / "best"
    assert json.loads((best / "config.json").read_text())["model_type"] == "vibevoice"
    assert (best / "sample.wav").stat().st_size > 1_000

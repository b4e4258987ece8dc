"""The VibeVoice presets as a user runs them, on a small checkpoint and lanes of two DDP workers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.checkpoint import write_checkpoint
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


def vibesweep(staged: Path, *words: str) -> str:
    """Type a command, which must succeed, and return what it printed."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "vibesweep", *words],
        cwd=staged,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3_000:] + done.stderr[-3_000:]
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["vibevoice_lora", "vibevoice_full"])
def test_a_preset_runs_on_two_ddp_workers_and_speaks(preset: str, staged: Path) -> None:
    space = staged / f"{preset}.py"
    space.write_text(SPACE.format(preset=str(ROOT / "search_spaces" / f"{preset}.py")))
    vibesweep(staged, "run", space.name, "--corpus", "talks", "--model", "vibevoice:checkpoint")
    record = json.loads((staged / "sweeps" / preset / "sweep.json").read_text())
    assert record["state"] == "done"
    failures = [trial["reason"] for trial in record["trials"] if trial["state"] == "failed"]
    assert failures == []
    best = staged / "sweeps" / preset / "best"
    assert json.loads((best / "config.json").read_text())["model_type"] == "vibevoice"
    assert (best / "sample.wav").stat().st_size > 1_000

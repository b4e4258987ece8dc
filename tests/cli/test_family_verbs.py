"""A family of another package through the ordinary verbs, found by its entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile
import torch

from tests.toy_family import ToyModel
from vibesweep.models.bundle import save_bundle

ROOT = Path(__file__).parents[2]
SPACE = """
import optuna
from vibesweep import Budget, Sweep, TrialSettings

def space(trial: optuna.Trial) -> None:
    trial.suggest_float("learning_rate", 1e-3, 1e-1, log=True)

sweep = Sweep(space=space, corpus="{shards}", model="{base}", trials=3,
    settings=TrialSettings(method="full", batch_clips=4), budget=Budget(12, 4, 3), lanes=1)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Install the toy family as pip would: metadata with an entry point."""
    metadata = tmp_path / "site" / "toy_family-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-family\nVersion: 1.0\n")
    entry = "[vibesweep.families]\ntoy = tests.toy_family:ToyFamily\n"
    (metadata / "entry_points.txt").write_text(entry)
    path = os.pathsep.join([str(tmp_path / "site"), str(ROOT)])
    return {**os.environ, "PYTHONPATH": path}


def test_it_is_preprocessed_trained_exported_and_spoken_with(
    environment: dict[str, str], tmp_path: Path
) -> None:
    def vibesweep(*words: str) -> str:
        command = [sys.executable, "-m", "vibesweep", *words]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    torch.manual_seed(0)
    save_bundle(ToyModel(), {}, tmp_path / "base")
    vibesweep("demo-corpus", "corpus", "--recordings", "12")
    made = vibesweep("preprocess", "corpus", "shards", "--model", "base")
    assert "11 training and 1 validation clips" in made
    (tmp_path / "space.py").write_text(SPACE.format(shards="shards", base="base"))
    vibesweep("run", "space.py", "--name", "toy")
    record = json.loads((tmp_path / "sweeps/toy/sweep.json").read_text())
    losses = [trial["best_loss_val"] for trial in record["trials"]]
    assert len(losses) == 3
    assert min(losses) < record["base_loss_val"]
    vibesweep("export", "toy", "--out", "tuned")
    said = vibesweep("synthesize", "tuned", "--text", "Good morning.", "--out", "x.wav")
    assert "s in x.wav" in said
    samples, _ = soundfile.read(tmp_path / "x.wav")
    assert abs(samples).max() > 0

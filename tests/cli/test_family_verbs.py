"""A family of another package through the ordinary verbs, found by its entry point."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import soundfile
import torch

from tests.cli.command import Vibesweep, vibesweep
from tests.toy_family import ToyModel
from vibesweep.corpus.demo import write_demo_corpus
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
def place(tmp_path: Path) -> Path:
    """Install the toy family as pip would, where commands are typed: Ray's workers look there too.

    It is a module, and metadata with an entry point.
    """
    shutil.copy(ROOT / "tests" / "toy_family.py", tmp_path)
    metadata = tmp_path / "toy_family-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-family\nVersion: 1.0\n")
    entry = "[vibesweep.families]\ntoy = toy_family:ToyFamily\n"
    (metadata / "entry_points.txt").write_text(entry)
    return tmp_path


def test_it_is_preprocessed_trained_exported_and_spoken_with(
    on_cluster: Vibesweep, place: Path
) -> None:
    torch.manual_seed(0)
    save_bundle(ToyModel(), {}, place / "base")
    write_demo_corpus(place / "corpus", recordings=12)
    made = on_cluster("preprocess", "corpus", "shards", "--model", "base", cwd=place)
    assert "11 training and 1 validation clips" in made
    (place / "space.py").write_text(SPACE.format(shards="shards", base="base"))
    on_cluster("run", "space.py", "--name", "toy", cwd=place)
    record = json.loads((place / "sweeps/toy/sweep.json").read_text())
    losses = [trial["best_loss_val"] for trial in record["trials"]]
    assert len(losses) == 3
    assert min(losses) < record["base_loss_val"]
    vibesweep("export", "toy", "--out", "tuned", cwd=place)
    said = vibesweep("synthesize", "tuned", "--text", "Good morning.", "--out", "x.wav", cwd=place)
    assert "s in x.wav" in said
    samples, _ = soundfile.read(place / "x.wav")
    assert abs(samples).max() > 0

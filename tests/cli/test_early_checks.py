"""What is refused as typed before Ray is even imported, and that it takes no name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny

SPACE = """
from vibesweep import Sweep, TrialResources, TrialSettings

def space(trial):
    trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True)

sweep = Sweep(space, corpus="shards", model="base", {change})
"""
MISSPELT = """
def half(trial):
    space(trial)
    return {"lora_rang": 8} if trial.suggest_categorical("lora_rslora", [False, True]) else {}

sweep = Sweep(half, corpus="shards", model="base")
"""
HEADS = [
    "trials",
    "budget",
    "trains",
    "reach",
    "steps",
    "a step",
    "time",
    "saving",
    "disk",
    "memory",
]
RUN = """
import sys
from vibesweep.cli import main
try:
    main()
finally:
    sys.stderr.write(f"ray imported: {'ray' in sys.modules}")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("early")
    tiny.write_shards(folder / "shards")
    tiny.write_shards(folder / "unheld", 4)
    tiny.write_base(folder / "base")
    return folder


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("settings=TrialSettings(seed=2**32)", "space.py:7: seed is 4294967296"),
        ("settings=TrialSettings(optimizer='adamw_8bit')", "adamw_8bit is trained on no CUDA"),
        ("settings=TrialSettings(lora_targets='q_proj')", "no LoRA targets 'q_proj'"),
        ("try_first=({'learning_rate': 1.0},)", "try_first[0]: learning_rate is 1.0"),
        ("resources=TrialResources(workers=25)", "24 training clips cannot feed 25 workers"),
    ],
)
def test_a_mistake_is_one_line_before_ray_is_imported(
    place: Path, tmp_path: Path, change: str, message: str
) -> None:
    (tmp_path / "space.py").write_text(SPACE.format(change=change))
    said = refused(place, tmp_path)
    assert message in said


def test_an_empty_validation_split_is_one_line(place: Path, tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(SPACE.format(change=""))
    said = refused(place, tmp_path, "--corpus", str(place / "unheld"))
    assert "the val split is empty" in said


def test_a_plan_names_every_error_and_what_the_rest_will_take(place: Path, tmp_path: Path) -> None:
    (tmp_path / "space.py").write_text(SPACE.format(change="") + MISSPELT)
    command = [sys.executable, "-m", "vibesweep", "plan", str(tmp_path / "space.py")]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert done.returncode == 2
    space, problem, *plan = done.stdout.splitlines()
    assert "settings drawn" in space
    assert f"{tmp_path / 'space.py'}:11: suggests lora_rang. Perhaps lora_rank is meant." in problem
    assert "learning_rate=" in problem
    heads = [line.partition(":")[0] for line in plan]
    assert heads == HEADS


def refused(place: Path, work: Path, *options: str) -> str:
    """Type ``run`` and return the error, once it is known to be all that happened."""
    command = [sys.executable, "-c", RUN, "run", str(work / "space.py"), "--work", str(work)]
    environment = os.environ | {"RAY_ADDRESS": "local"}
    done = subprocess.run(
        [*command, *options], cwd=place, capture_output=True, text=True, env=environment
    )
    error, ray = done.stderr.splitlines()
    assert done.returncode == 2
    assert error.startswith("error: ")
    assert ray == "ray imported: False"
    assert [path.name for path in work.iterdir()] == ["space.py"]
    return error

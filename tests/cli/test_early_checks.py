"""What is refused as typed before Ray is even imported, and that it takes no name.

One process types all mistakes: torch takes seconds to import.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

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
MISTAKES = [
    ("settings=TrialSettings(seed=2**32)", "space.py:7: seed is 4294967296"),
    ("settings=TrialSettings(optimizer='adamw_8bit')", "adamw_8bit is trained on no CUDA"),
    ("settings=TrialSettings(lora_targets='q_proj')", "no LoRA targets 'q_proj'"),
    ("try_first=({'learning_rate': 1.0},)", "try_first[0]: learning_rate is 1.0"),
    ("resources=TrialResources(workers=25)", "24 training clips cannot feed 25 workers"),
    ("settings=TrialSettings(), trials=3", "the val split is empty"),
]
"""What a space says, and what is said of it; the last one is run on shards without validation."""
RUN = """
import io, json, sys
from contextlib import redirect_stderr
from vibesweep.cli import main

def errors_of(arguments):
    sys.argv = ["vibesweep", *arguments]
    errors = io.StringIO()
    try:
        with redirect_stderr(errors):
            main()
    except SystemExit as ended:
        return ended.code, errors.getvalue()

ended = [errors_of(arguments) for arguments in json.loads(sys.argv[1])]
print(json.dumps({"ended": ended, "ray imported": "ray" in sys.modules}))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("early")
    tiny.write_shards(folder / "shards")
    tiny.write_shards(folder / "unheld", 4)
    tiny.write_base(folder / "base")
    return folder


def test_a_mistake_is_one_line_before_ray_is_imported(place: Path, tmp_path: Path) -> None:
    commands = []
    for number, (change, _) in enumerate(MISTAKES):
        work = tmp_path / str(number)
        work.mkdir()
        (work / "space.py").write_text(SPACE.format(change=change))
        commands.append(["run", str(work / "space.py"), "--work", str(work)])
    commands[-1] += ["--corpus", "unheld"]
    told = typed_in_one_process(commands, place)
    assert told["ray imported"] is False
    for (_, message), (code, errors) in zip(MISTAKES, told["ended"], strict=True):
        assert (code, errors.count("\n")) == (2, 1), errors
        assert errors.startswith("error: ")
        assert message in errors
    for number in range(len(MISTAKES)):
        assert [path.name for path in (tmp_path / str(number)).iterdir()] == ["space.py"]


def typed_in_one_process(commands: list[list[str]], place: Path) -> dict[str, Any]:
    """Type commands one after the other; return how each ended, and whether Ray was imported."""
    command = [sys.executable, "-c", RUN, json.dumps(commands)]
    environment = os.environ | {"RAY_ADDRESS": "local"}
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, env=environment, check=True
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


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

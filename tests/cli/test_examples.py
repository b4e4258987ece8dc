"""The examples run, at a size that a CPU can take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from vibesweep.models.bundle import load_bundle
from vibesweep.models.mel.model import MelModel

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_base_is_trained_from_text_files(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text(
        "The door was open. Nobody came in. A cold wind blew along the hall, and she shut it."
    )
    out = tmp_path / "out"
    program = str(ROOT / "examples" / "train_base.py")
    command = [sys.executable, program, str(out), "--texts", str(book)]
    sizes = ["--english", "24", "--mandarin", "12", "--minutes", "0.01", "--processes", "1"]
    subprocess.run([*command, *sizes], check=True, capture_output=True, text=True, timeout=400)
    facts = json.loads((out / "base" / "training.json").read_text())
    assert facts["steps"] >= 1
    assert facts["variance_kept"] > 0.9
    bundle = load_bundle(out / "base", MelModel)
    assert bundle.model.describe()["shape"] == facts["shape"]

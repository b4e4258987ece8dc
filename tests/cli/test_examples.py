"""The examples run, at a size that a CPU can take."""

from __future__ import annotations

import json
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from IPython.core.interactiveshell import InteractiveShell
from IPython.display import Audio

from tests.cli.command import Vibesweep
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.models.bundle import load_bundle
from vibesweep.models.mel.model import MelModel

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_whole_way_in_python(ray_cluster: str, tmp_path: Path) -> None:
    corpus = write_demo_corpus(tmp_path / "corpus", recordings=6)
    program = str(ROOT / "examples" / "python_api.py")
    done = subprocess.run(
        [sys.executable, program, str(corpus)],
        cwd=tmp_path,
        env=os.environ | {"RAY_ADDRESS": ray_cluster},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "best_loss_val" in done.stdout
    assert (tmp_path / "python_api_voice" / "provenance.json").is_file()
    assert soundfile.info(tmp_path / "python_api.wav").duration > 0
    assert (tmp_path / "sweeps" / "python_api" / "report.html").is_file()


def test_the_search_in_a_plain_tuner(ray_cluster: str, tmp_path: Path) -> None:
    program = str(ROOT / "examples" / "plain_tuner.py")
    done = subprocess.run(
        [sys.executable, program],
        cwd=tmp_path,
        env=os.environ | {"RAY_ADDRESS": ray_cluster},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "UserWarning" not in done.stderr
    found = re.search(r"best loss (.+); (\d) of 8 trials were stopped", done.stdout)
    assert found, done.stdout
    assert float(found[1]) < 0.1  # the line 0, where each trial begins, misses by 4
    assert 1 <= int(found[2]) <= 7


def test_the_notebook_runs_from_top_to_bottom(
    ray_cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_demo_corpus(tmp_path / "talks", recordings=6)
    notebook = json.loads((ROOT / "examples" / "quickstart.ipynb").read_text(encoding="utf-8"))
    shell = InteractiveShell()
    shown = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            continue
        done = shell.run_cell("".join(cell["source"]))
        done.raise_error()
        shown.append(done.result)
        if "parameters" in cell["metadata"].get("tags", ()):
            shell.push({"corpus": "talks", "trials": 2, "steps": 6})
    tables = [found for found in shown if isinstance(found, pd.DataFrame)]
    assert [len(table) for table in tables] == [2, 3]
    sounds = [found for found in shown if isinstance(found, Audio)]
    assert len(sounds) == 2
    assert sounds[0].data != sounds[1].data
    assert Path(shown[-1]).is_file()


@pytest.mark.parametrize(
    ("example", "understood"),
    [("ljspeech", "1 person"), ("mandarin_dialogues", "2 people")],
)
def test_a_corpus_is_written_understood_and_can_be_swept(
    tmp_path: Path,
    in_process: Vibesweep,
    monkeypatch: pytest.MonkeyPatch,
    example: str,
    understood: str,
) -> None:
    program = ROOT / "examples" / f"{example}.py"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(program), "recordings", "8"])
    runpy.run_path(str(program), run_name="__main__")
    said = in_process("inspect", "recordings", cwd=tmp_path)
    assert understood in said
    assert "8 recordings, 0 rows rejected" in said
    made = in_process("preprocess", "recordings", "shards", cwd=tmp_path)
    assert "7 training and 1 validation clips" in made
    planned = in_process("plan", program, "--corpus", "shards", cwd=tmp_path)
    assert "the model takes all of them" in planned


def test_a_metric_of_ones_own_is_measured(tmp_path: Path, in_process: Vibesweep) -> None:
    write_demo_corpus(tmp_path / "talks", recordings=2)
    named = ("--scorer", "examples.own_metric.own_metric:Pauses")
    in_process("evaluate", "mel-small", "talks", "--texts", "1", *named, cwd=tmp_path)
    (file,) = (tmp_path / "evaluations").glob("*/quality.json")
    recording, base = json.loads(file.read_text())["rows"]
    assert recording["measures"]["pauses"] == 0
    assert -1 < base["measures"]["pauses"] < 1
    assert base["measures"]["pauses"] != 0


@pytest.mark.slow
def test_a_base_is_trained_from_text_files(tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text(
        "The door was open. Nobody came in. A cold wind blew along the hall, and she shut it."
    )
    out = tmp_path / "out"
    command = [sys.executable, "-m", "examples.base.train", str(out), "--texts", str(book)]
    sizes = ["--english", "24", "--mandarin", "12", "--minutes", "0.01", "--processes", "1"]
    speakers = ["--teachers", "espeak", "--chunks", "2", "--row", "4096"]
    program = [*command, *sizes, *speakers]
    subprocess.run(program, cwd=ROOT, check=True, capture_output=True, text=True, timeout=400)
    facts = json.loads((out / "base" / "training.json").read_text())
    assert facts["diffusion_loss"] > 0
    assert facts["variance_kept"] > 0.9
    bundle = load_bundle(out / "base", MelModel)
    assert bundle.model.describe()["shape"] == facts["shape"]

"""The example of a family of one's own through the ordinary verbs, found by its entry point."""

from __future__ import annotations

import json
import runpy
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import soundfile

from tests.cli.command import Vibesweep, vibesweep
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.corpus.shards.manifest import read_manifest

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_family"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Install the family as pip would, where commands are typed: Ray's workers look there too.

    It is a module, and metadata with the entry point that its pyproject.toml declares.
    """
    for name in ("own_family.py", "space.py"):
        shutil.copy(EXAMPLE / name, tmp_path)
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    name, version = project["name"], project["version"]
    metadata = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
    metadata.mkdir()
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (metadata / "METADATA").write_text(head)
    lines = []
    for group, entries in project["entry-points"].items():
        lines.append(f"[{group}]")
        lines += [f"{key} = {value}" for key, value in entries.items()]
    (metadata / "entry_points.txt").write_text("\n".join(lines))
    return tmp_path


def test_it_is_preprocessed_trained_and_spoken_with(
    on_cluster: Vibesweep, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run exports its best trial; the verb ``export`` is typed in test_cli.py."""
    program = place / "own_family.py"
    monkeypatch.setattr(sys, "argv", [str(program), str(place / "own_base")])
    runpy.run_path(str(program), run_name="__main__")
    write_demo_corpus(place / "corpus", recordings=12)
    on_cluster("run", "space.py", "--corpus", "corpus", "--name", "own", cwd=place)
    record = json.loads((place / "sweeps/own/sweep.json").read_text())
    made = read_manifest(place / record["shards"])
    assert made.encoder.family == "own"
    assert made.clips == {"train": 11, "val": 1}
    losses = [trial["best_loss_val"] for trial in record["trials"]]
    assert len(losses) == 3
    assert min(losses) < record["base_loss_val"]
    speak = ("synthesize", "sweeps/own/best", "--text", "Good morning.", "--out", "x.wav")
    assert "s in x.wav" in vibesweep(*speak, cwd=place)
    samples, _ = soundfile.read(place / "x.wav")
    assert abs(samples).max() > 0

"""A run of the tests ends, and fails, where one of its processes crashes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SETTINGS = Path(__file__).parents[2] / "pyproject.toml"
FILES = {
    "test_a.py": "import os\n\ndef test_well(): pass\n\ndef test_crashes(): os.abort()\n",
    "test_b.py": "import time\n\ndef test_long(): time.sleep(1)\n\ndef test_well(): pass\n",
    "test_c.py": "def test_well(): pass\n",
    "test_d.py": "def test_well(): pass\n",
}


@pytest.mark.slow
def test_it_ends_and_names_the_test(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    command = [sys.executable, "-m", "pytest", f"-c={SETTINGS}", f"--rootdir={tmp_path}"]
    quietly = ["-p", "no:cacheprovider", str(tmp_path)]
    ran = subprocess.run([*command, *quietly], capture_output=True, text=True, timeout=120)
    assert ran.returncode == 1, ran.stdout
    assert "crashed while running" in ran.stdout
    assert "test_a.py::test_crashes" in ran.stdout

"""Three ways to type a command; docs in CONTRIBUTING.md say which a new test takes."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import pytest

from tests.cli.command import Vibesweep, vibesweep
from vibesweep.cli import main


@pytest.fixture(scope="module")
def on_cluster(ray_cluster: str) -> Vibesweep:
    """Type a command that finds the tests' cluster, as a user's finds a cluster that is up.

    Bringing up a Ray of its own costs a command more than its work does. One test has that done:
    ``test_own_ray.py``.
    """
    return partial(vibesweep, ray_address=ray_cluster)


@pytest.fixture
def in_process(
    ray_cluster: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Vibesweep:
    """Type a command in the tests' own process, whose imports and Ray workers are there already."""

    def typed(*arguments: str | Path, cwd: Path, rc: int = 0) -> str:
        monkeypatch.chdir(cwd)
        monkeypatch.setenv("COLUMNS", "160")
        monkeypatch.setattr(sys, "argv", ["vibesweep", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        printed, errors = capsys.readouterr()
        assert ended.value.code == rc, f"{printed[-3000:]}\n{errors[-3000:]}"
        return printed if rc == 0 else errors

    return typed

"""Three ways to type a command; docs in CONTRIBUTING.md say which a new test takes."""

from __future__ import annotations

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import pytest

from tests.cli.command import Vibesweep, vibesweep
from vibesweep.cli import main
from vibesweep.delivery import judge


@pytest.fixture(scope="module")
def on_cluster(ray_cluster: str) -> Vibesweep:
    """Type a command that finds the tests' cluster, as a user's finds a cluster that is up.

    Bringing up a Ray of its own costs a command more than its work does. One test has that done:
    ``test_own_ray.py``.
    """
    return partial(vibesweep, ray_address=ray_cluster)


@pytest.fixture(scope="module")
def in_process(ray_cluster: str) -> Vibesweep:
    """Type a command in the tests' own process, whose imports and Ray workers are there already.

    A sweep's voices are heard with one text, which takes a sixth of the time.
    """

    def typed(*arguments: str | Path, cwd: Path, rc: int = 0) -> str:
        printed = io.StringIO()
        errors = io.StringIO()
        with (
            pytest.MonkeyPatch.context() as patch,
            redirect_stdout(printed),
            redirect_stderr(errors),
        ):
            patch.chdir(cwd)
            patch.setenv("COLUMNS", "160")
            patch.setattr(sys, "argv", ["vibesweep", *map(str, arguments)])
            patch.setattr(judge, "TEXTS", 1)
            with pytest.raises(SystemExit) as ended:
                main()
        said = printed.getvalue()
        complaints = errors.getvalue()
        assert ended.value.code == rc, f"{said[-3000:]}\n{complaints[-3000:]}"
        return said if rc == 0 else complaints

    return typed

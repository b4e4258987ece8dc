"""Types a command as a user does, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

Vibesweep = Callable[..., str]

NO_CLUSTER = "127.0.0.1:1"
"""Nobody answers there: a command that needs Ray ends with an error instead of starting one."""


def vibesweep(
    *arguments: str | Path,
    cwd: Path,
    rc: int = 0,
    ray_address: str = NO_CLUSTER,
) -> str:
    """Type a command and return what it printed.

    Its exit code is checked, and that there is no traceback and no FutureWarning. One that needs
    Ray is typed by the fixture ``on_cluster``.

    Args:
        arguments: what follows ``vibesweep``.
        cwd: the folder in which it is typed.
        rc: the exit code that it must end with.
        ray_address: its RAY_ADDRESS.

    Returns:
        Its standard output, or its errors where it must fail.
    """
    command = [sys.executable, "-m", "vibesweep", *map(str, arguments)]
    environment = os.environ | {"RAY_ADDRESS": ray_address, "COLUMNS": "160"}
    done = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=420,
        check=False,
    )
    ends = f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    assert done.returncode == rc, f"{command} gave {done.returncode}\n{ends}"
    assert "Traceback" not in done.stdout + done.stderr
    assert "FutureWarning" not in done.stdout + done.stderr
    return done.stdout if rc == 0 else done.stderr

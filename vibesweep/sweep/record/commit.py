"""Which commit a program ran from, where it ran from a git checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

ANSWER_S = 10.0
"""A status of a large checkout on a slow disk takes seconds; a sweep need not wait longer."""


def commit_of(package: Path) -> str | None:
    """Return the commit of the checkout that has this package at its top; ``None`` without one.

    A package that was installed into a folder of somebody else's checkout is not at its top.
    ``with changes`` follows the commit where the package's files differ from it.
    """
    try:
        top = _git(package, "rev-parse", "--show-toplevel")
        if Path(top) != package.resolve().parent:
            return None
        commit = _git(package, "rev-parse", "HEAD")
        changed = _git(package, "status", "--porcelain", "--", ".")
    except (OSError, subprocess.SubprocessError):  # no git here, or no checkout
        return None
    return f"{commit} with changes" if changed else commit


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(  # nosec B603
        command, capture_output=True, text=True, check=True, timeout=ANSWER_S
    )
    return done.stdout.strip()

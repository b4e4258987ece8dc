"""Disks of a few kilobytes and disks that cannot be written to, for tests that run as root."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a disk at a folder until the block ends; skip the test where that is not allowed."""
    folder.mkdir()
    done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    if done.returncode:
        folder.rmdir()
        pytest.skip(f"only root may mount a disk: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def small_disk(folder: Path, kilobytes: int = 64) -> Iterator[Path]:
    """Mount an empty disk of that size."""
    with mounted(folder, "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs") as disk:
        yield disk


@contextmanager
def read_only_disk(folder: Path) -> Iterator[Path]:
    """Mount an empty disk that takes nothing."""
    with mounted(folder, "-t", "tmpfs", "-o", "ro", "tmpfs") as disk:
        yield disk

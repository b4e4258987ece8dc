"""Which commit of vibesweep a sweep ran from."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from vibesweep.sweep.record.commit import commit_of

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Make a checkout with a package at its top, and another one in a folder."""
    for package in ("speech", "site-packages/speech"):
        folder = tmp_path / package
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("")
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "first")
    return tmp_path


def test_a_checkout_has_a_commit(checkout: Path) -> None:
    assert commit_of(checkout / "speech") == git(checkout, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["__init__.py", "new.py"])
def test_changes_of_the_package_are_told(checkout: Path, name: str) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    (checkout / "notes.txt").write_text("beside the package")
    assert commit_of(checkout / "speech") == commit
    (checkout / "speech" / name).write_text("value = 1\n")
    assert commit_of(checkout / "speech") == f"{commit} with changes"


def test_a_package_inside_of_somebody_elses_checkout_has_none(checkout: Path) -> None:
    assert commit_of(checkout / "site-packages" / "speech") is None


def test_a_folder_that_is_no_checkout_has_none(tmp_path: Path) -> None:
    assert commit_of(tmp_path) is None

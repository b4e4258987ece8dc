"""`vibesweep doctor` finds what is wrong with a machine and says what to do about it."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from typer.testing import CliRunner

from vibesweep.cli import app
from vibesweep.doctor import disks, packages, ray
from vibesweep.doctor.computing import look_at_torch
from vibesweep.doctor.examination import examine
from vibesweep.doctor.finding import Finding, State
from vibesweep.storage import StoragePath

ELSEWHERE = "127.0.0.1:1"
"""Nobody answers there."""


def about(subject: str, findings: Iterable[Finding]) -> Finding:
    """Return the finding about one thing."""
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def test_whatever_is_not_well_comes_with_what_to_do(tmp_path: Path) -> None:
    found = list(examine(str(tmp_path)))
    assert {"Python", "torch", "CPUs", "work folder", "eSpeak NG"} <= {f.subject for f in found}
    assert [f for f in found if (f.state == State.OK) == bool(f.fix)] == []


def test_a_problem_is_printed_with_its_fix_and_ends_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", ELSEWHERE)
    (tmp_path / "file").touch()
    result = CliRunner().invoke(app, ["doctor", "--work", str(tmp_path / "file" / "work")])
    assert result.exit_code == 1
    assert "problem  work folder" in result.output
    assert "problem  Ray                RAY_ADDRESS=127.0.0.1:1: no Ray cluster" in result.output
    assert "-> see that it is up, or set RAY_ADDRESS=local" in result.output
    assert "2 problems" in result.output


def test_missing_and_old_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [Requirement("numpy<1"), Requirement("no-such-package"), Requirement("rich")]
    extras = dict.fromkeys(packages.PURPOSES, wanted)
    declared = packages.Declared(SpecifierSet("<3"), wanted, extras)
    monkeypatch.setattr(packages, "declared_by_project", lambda: declared)
    found = list(packages.look_at_packages())
    always = about("packages", found)
    assert "numpy is " in always.found
    assert ", not <1, no-such-package is missing" in always.found
    assert (always.state, about("Python", found).state) == (State.PROBLEM, State.PROBLEM)
    mel = about("extra mel", found)
    assert (mel.state, mel.fix) == (State.NOTE, 'pip install "vibesweep[mel]"')
    assert mel.found.startswith("installed in part")


def test_an_installed_vibesweep_declares_what_its_project_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = packages.declared_by_project()
    lines = ["Metadata-Version: 2.4", "Name: vibesweep", "Version: 0.1.0"]
    lines.append(f"Requires-Python: {project.python}")
    lines += [f"Requires-Dist: {one}" for one in project.packages]
    for extra, wanted in project.extras.items():
        lines.append(f"Provides-Extra: {extra}")
        lines += [f'Requires-Dist: {one}; extra == "{extra}"' for one in wanted]
    folder = tmp_path / "vibesweep-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(str(tmp_path))
    installed = packages.declared_by_installation()
    assert installed.python == project.python
    assert [one.name for one in installed.packages] == [one.name for one in project.packages]
    for extra, wanted in project.extras.items():
        names = [one.name for one in installed.extras[extra]]
        assert names == [one.name for one in wanted]


def test_every_extra_for_users_is_looked_at() -> None:
    developers = {"docs", "test"}
    assert set(packages.declared_by_project().extras) == {*packages.PURPOSES, *developers}


@pytest.mark.skipif(torch.cuda.is_available(), reason="torch finds the GPUs of this machine")
def test_gpus_that_torch_does_not_find_are_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert about("GPU", look_at_torch()).state == State.OK
    program = tmp_path / "nvidia-smi"
    program.touch()
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    found = about("GPU", look_at_torch())
    assert found.state == State.PROBLEM
    assert found.fix


def test_full_disks_and_little_shared_memory_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "LEAST_GIB", 1e9)
    monkeypatch.setattr(disks, "LEAST_SHARED_GIB", 1e9)
    monkeypatch.setattr(disks, "RAYS_LIMIT", 0.0)
    found = list(disks.look_at_disks(str(tmp_path)))
    assert about("work folder", found).state == State.PROBLEM
    assert about("Ray's folder", found).state == State.PROBLEM
    assert about("shared memory", found).state == State.NOTE


def test_a_folder_of_rays_that_is_not_there_yet_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disks, "ray_folder", lambda: str(tmp_path / "to_be_made"))
    found = list(disks.look_at_disks(str(tmp_path)))
    assert about("Ray's folder", found).state == State.OK


def test_a_store_that_lets_nobody_read_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(place: StoragePath) -> bytes:
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(StoragePath, "read_bytes", refuse)
    work = about("work folder", disks.look_at_disks("memory://locked/work"))
    assert work.state == State.PROBLEM
    assert "AccessDenied" in work.found


def test_a_cluster_that_is_gone_and_a_port_that_is_taken_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text(ELSEWHERE)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        monkeypatch.setattr(ray, "DASHBOARD_PORT", taken.getsockname()[1])
        found = list(ray.look_at_ray())
    assert ELSEWHERE in about("Ray's last cluster", found).found
    assert "in use" in about("dashboard's port", found).found
    assert about("own address", found).state == State.OK

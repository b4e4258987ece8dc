"""What is installed, against what vibesweep declares: Python, packages and extras."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from vibesweep.doctor.finding import Finding, note, problem
from vibesweep.version import PACKAGE

PROJECT = PACKAGE.parent / "pyproject.toml"
"""Of a copy of the repository, which may be run without being installed."""
PURPOSES = {
    "mel": "phonemes and the demo corpus, which mel-small needs",
    "quality": "voices judged by ear",
    "inspect": "pictures of shards",
    "watch": "TensorBoard and optuna-dashboard",
    "aws": "clusters and buckets on AWS",
    "gpu": "optimizers with 8-bit states",
    "mlflow": "trials told to MLflow",
    "wandb": "trials told to Weights & Biases",
}
"""What each extra is for; those for developers are left out."""


@dataclass(frozen=True)
class Declared:
    """What vibesweep declares.

    Attributes:
        python: its versions.
        packages: that it always needs.
        extras: packages of each extra.
    """

    python: SpecifierSet
    packages: Sequence[Requirement]
    extras: Mapping[str, Sequence[Requirement]]


def look_at_packages() -> Iterator[Finding]:
    """Look at Python, at the packages that are always needed, and at each extra."""
    declared = declared_by_project() if PROJECT.is_file() else declared_by_installation()
    yield _python(declared.python)
    yield _always_needed(declared.packages)
    for name, purpose in PURPOSES.items():
        yield _extra(name, purpose, declared.extras[name])


def declared_by_project() -> Declared:
    """Read what the repository's pyproject.toml declares."""
    content = PROJECT.read_text(encoding="utf-8")
    project: dict[str, Any] = tomllib.loads(content)["project"]
    extras = {}
    for name, lines in project["optional-dependencies"].items():
        extras[name] = _requirements(lines)
    python = SpecifierSet(project["requires-python"])
    return Declared(python, _requirements(project["dependencies"]), extras)


def declared_by_installation() -> Declared:
    """Read what the installed package declares."""
    about = metadata.metadata("vibesweep")
    requirements = _requirements(metadata.requires("vibesweep") or [])
    extras = {}
    for name in about.get_all("Provides-Extra") or []:
        extras[name] = [one for one in requirements if one.marker and _is_for(one, name)]
    always = [one for one in requirements if _is_for(one, "")]
    return Declared(SpecifierSet(about["Requires-Python"]), always, extras)


def _requirements(lines: Sequence[str]) -> list[Requirement]:
    return [Requirement(line) for line in lines]


def _is_for(requirement: Requirement, extra: str) -> bool:
    """Tell whether something is needed with an extra; without any, for an empty name."""
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _python(wanted: SpecifierSet) -> Finding:
    version = platform.python_version()
    system = platform.system()
    if system != "Linux":
        found = f"{version} on {system}"
        return problem("Python", found, "use Linux: vibesweep is tested on nothing else")
    if not wanted.contains(version, prereleases=True):
        found = f"{version}, and vibesweep is tested on {wanted}"
        return problem("Python", found, "make a virtual environment with another Python")
    return Finding("Python", version)


def _always_needed(packages: Sequence[Requirement]) -> Finding:
    wrong = _wrong(packages)
    if wrong:
        listed = ", ".join(wrong)
        fix = "install vibesweep anew: pip install -c requirements.lock -e ."
        return problem("packages", listed, fix)
    return Finding("packages", f"{len(packages)}, in versions that vibesweep takes")


def _extra(name: str, purpose: str, packages: Sequence[Requirement]) -> Finding:
    subject = f"extra {name}"
    wrong = _wrong(packages)
    if not wrong:
        return Finding(subject, purpose)
    install = f'pip install "vibesweep[{name}]"'
    if len(wrong) == len(packages):
        return note(subject, f"not installed: {purpose}", f"if you want that, {install}")
    return note(subject, f"installed in part, for {purpose}: {', '.join(wrong)}", install)


def _wrong(packages: Sequence[Requirement]) -> list[str]:
    """Name the packages that are missing or of a version that is not taken."""
    wrong = []
    for package in packages:
        try:
            version = metadata.version(package.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{package.name} is missing")
            continue
        if not package.specifier.contains(version, prereleases=True):
            wrong.append(f"{package.name} is {version}, not {package.specifier}")
    return wrong

"""The rules of the house that a machine can hold: imports point one way, Ray stays where Ray is the subject, importing does nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "vibesweep"
ORDER = [
    "errors",
    "config",
    "storage",
    "folders",
    "corpus",
    "models",
    "training",
    "sweep",
    "delivery",
    "cli",
    "__main__",
]
RAY_HERE = (
    "corpus/hosts.py",
    "corpus/session.py",
    "corpus/shards.py",
    "training/lane",
    "training/stream.py",
    "sweep/",
)
# What delivery may see of sweep: its folder on disk, which is read without ray
DELIVERY_SEES = {"vibesweep.sweep.record.record", "vibesweep.sweep.record.states"}
FILES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.py")
    if path != PACKAGE / "__init__.py"
)


def imports(name: str, *, deferred: bool = True) -> Iterator[str]:
    """Modules that a file imports: everywhere, or only when it is imported itself."""
    tree = ast.parse((PACKAGE / name).read_text())
    hidden = {
        id(n)
        for f in ast.walk(tree)
        if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef)
        for n in ast.walk(f)
    }
    for node in ast.walk(tree):
        if not deferred and id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            yield node.module or ""


def stretch(module: str) -> str:
    """The part of the way that a file or a module is on."""
    return module.removeprefix("vibesweep.").replace("/", ".").split(".")[0]


@pytest.mark.parametrize("name", FILES)
def test_imports_point_one_way(name: str) -> None:
    here = ORDER.index(stretch(name.removesuffix(".py")))
    own = [module for module in imports(name) if module.startswith("vibesweep.")]
    assert [module for module in own if ORDER.index(stretch(module)) > here] == []


@pytest.mark.parametrize("name", FILES)
def test_ray_is_imported_only_where_it_is_the_subject(name: str) -> None:
    if not name.startswith(RAY_HERE):
        assert [module for module in imports(name) if module.split(".")[0] == "ray"] == []


def test_delivery_meets_a_sweep_on_disk_alone() -> None:
    seen = {
        module
        for name in FILES
        if name.startswith("delivery/")
        for module in imports(name)
        if module.startswith("vibesweep.sweep")
    }
    assert seen <= DELIVERY_SEES
    for module in sorted(DELIVERY_SEES):
        name = module.removeprefix("vibesweep.").replace(".", "/") + ".py"
        assert [found for found in imports(name) if found.split(".")[0] in ("ray", "torch")] == []


def test_no_two_modules_import_each_other() -> None:
    edges = {
        name: {
            m.removeprefix("vibesweep.").replace(".", "/") + ".py"
            for m in imports(name, deferred=False)
        }
        for name in FILES
    }

    def reaches(start: str, goal: str, seen: set[str]) -> bool:
        following = {n for n in edges.get(start, set()) if n not in seen}
        return goal in following or any(reaches(n, goal, seen | following) for n in following)

    type_checking_only = {
        "models/mel/batch.py",
        "models/mel/speak.py",
    }  # they name MelShape and MelModel in annotations
    assert [
        name
        for name in FILES
        if name not in type_checking_only and reaches(name, name, type_checking_only)
    ] == []


@pytest.mark.parametrize(
    "module",
    [
        "vibesweep",
        "vibesweep.cli",
        "vibesweep.sweep.record.record",
        "vibesweep.corpus.shards.manifest",
    ],
)
def test_importing_brings_in_no_heavy_library(module: str) -> None:
    code = f"import sys, {module}; print(sorted({{'torch', 'ray', 'transformers', 'torchaudio', 'pandas'}} & set(sys.modules)))"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


def test_delivery_is_imported_without_ray() -> None:
    code = "import sys, vibesweep.delivery.export, vibesweep.delivery.sample; print('ray' in sys.modules)"
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "False"
    )

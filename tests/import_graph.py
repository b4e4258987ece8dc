"""Who imports whom in the package, read from the source with ast: nothing is imported to find out.

Imports inside functions and under TYPE_CHECKING count like any other. A name that a package's
``__init__`` hands on is followed to the module that defines it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "vibesweep"


class Import(NamedTuple):
    """One imported module, or one name imported from a module."""

    module: str
    name: str | None
    line: int


def module_name(path: Path) -> str:
    """Return a file's dotted name; a package's ``__init__`` has the package's own."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    """Return the files of the package by their dotted names."""
    return {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


@cache
def source_of(module: str) -> str:
    """Return a module's text."""
    return modules()[module].read_text(encoding="utf-8")


@cache
def tree_of(module: str) -> ast.Module:
    """Return a module's syntax tree."""
    return ast.parse(source_of(module))


def imports_of(module: str) -> Iterator[Import]:
    """Return everything that a module imports, wherever it stands in the file."""
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(alias.name, None, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}, line {node.lineno}: a relative import"
            for alias in node.names:
                yield Import(node.module or "", alias.name, node.lineno)


@cache
def handed_on(package: str) -> dict[str, Import]:
    """Return the names that a module imports, by the names they have there."""
    found = {}
    for node in ast.walk(tree_of(package)):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                origin = Import(node.module or "", alias.name, node.lineno)
                found[alias.asname or alias.name] = origin
    return found


def defining_module(found: Import) -> str:
    """Return the module of the package where an imported name is defined."""
    if found.name is None:
        return found.module
    submodule = f"{found.module}.{found.name}"
    if submodule in modules():
        return submodule
    is_package = found.module in modules() and modules()[found.module].name == "__init__.py"
    if is_package and found.name in handed_on(found.module):
        return defining_module(handed_on(found.module)[found.name])
    return found.module


@cache
def imported_modules(module: str) -> frozenset[str]:
    """Return the package's own modules that a module imports."""
    targets = {defining_module(found) for found in imports_of(module)}
    return frozenset(target for target in targets if target in modules())


def reachable(module: str) -> set[str]:
    """Return all modules of the package that a module imports, directly or through others."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for target in imported_modules(waiting.pop()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return found


def circles() -> list[list[str]]:
    """Return the groups of modules that import each other in a circle."""
    closures = {module: reachable(module) for module in modules()}
    groups: set[frozenset[str]] = set()
    for module, targets in closures.items():
        if module in targets:
            groups.add(frozenset(other for other in targets if module in closures[other]))
    return sorted(sorted(group) for group in groups)

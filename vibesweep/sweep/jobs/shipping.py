"""What a space file needs on another machine: itself, and its author's modules that it imports."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterable
from pathlib import Path

SENT_OTHERWISE = "vibesweep"
"""The package that goes along as a whole, or is installed there."""


def copy_space(space_file: Path, folder: Path) -> None:
    """Copy a space file, and the modules beside it or in the working folder that it imports.

    The file is known to run; what it imports from elsewhere is a library, which the other machine
    has or does not have.
    """
    shutil.copy(space_file, folder / space_file.name)
    roots = (Path.cwd(), space_file.parent)
    to_read = [space_file]
    seen = {SENT_OTHERWISE}
    while to_read:
        for name in _imported(to_read.pop()) - seen:
            seen.add(name)
            module = _find(name, roots)
            if module is not None:
                to_read += _copy(module, folder)


def _imported(path: Path) -> set[str]:
    """Return the top-level names of the modules that a file imports."""
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules.append(node.module)
    return {module.partition(".")[0] for module in modules}


def _find(name: str, roots: Iterable[Path]) -> Path | None:
    """Return the package's folder or the module's file, from the first root that has one."""
    for root in roots:
        package = root / name
        if (package / "__init__.py").is_file():
            return package
        file = root / f"{name}.py"
        if file.is_file():
            return file
    return None


def _copy(module: Path, folder: Path) -> list[Path]:
    """Copy a module or package, and return its files, which may import others."""
    if module.is_file():
        shutil.copy(module, folder / module.name)
        return [module]
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(module, folder / module.name, ignore=ignored)
    return list(module.rglob("*.py"))

"""What a space needs to be read on another machine: its file, and the modules of its author that it imports."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path


def copy_space(space_file: Path, folder: Path) -> None:
    """Copy a space file, and whatever lies beside it or in the working folder and is imported by it, into a folder.

    The file is known to run; what it imports from elsewhere is a library, which the other machine has or has not.
    """
    shutil.copy(space_file, folder / space_file.name)
    roots, waiting, seen = (
        (Path.cwd(), space_file.parent),
        [space_file],
        {"vibesweep"},
    )  # which goes its own way
    while waiting:
        for name in _imported(waiting.pop()) - seen:
            seen.add(name)
            found = next(
                (
                    path
                    for root in roots
                    for path in (root / name, root / f"{name}.py")
                    if _is_module(path)
                ),
                None,
            )
            if found is not None:
                waiting += _copy(found, folder)


def _imported(path: Path) -> set[str]:
    """Top-level names of the modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def _is_module(path: Path) -> bool:
    return path.is_file() if path.suffix == ".py" else (path / "__init__.py").is_file()


def _copy(found: Path, folder: Path) -> list[Path]:
    """Copy a module or package; returns the files, which may import others."""
    if found.is_file():
        shutil.copy(found, folder / found.name)
        return [found]
    shutil.copytree(found, folder / found.name, ignore=shutil.ignore_patterns("__pycache__"))
    return list(found.rglob("*.py"))

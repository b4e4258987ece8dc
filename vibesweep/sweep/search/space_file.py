"""Reads a space file: Python code that defines ``sweep``."""

from __future__ import annotations

import linecache
import types
from pathlib import Path
from typing import Any

from vibesweep.config import Sweep
from vibesweep.errors import SpaceError
from vibesweep.sweep.search.space import check_space, error_in, one_line


def load_space(path: Path) -> Sweep:
    """Run a space file, and return the sweep that it defines once its space has been drawn from.

    Raises:
        SpaceError: the file is not there, fails, or defines no ``sweep``; or its space suggests
            what no trial can use.
    """
    sweep = read_space(path)
    check_space(sweep, where=str(path))
    return sweep


def read_space(path: Path) -> Sweep:
    """Run a space file and return the sweep that it defines, whatever its space suggests.

    Its functions stay usable in other processes: the file is not registered as a module, so
    cloudpickle sends them by value.

    Raises:
        SpaceError: the file is not there, fails, or defines no ``sweep``.
    """
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        found = f"cannot be read: {one_line(error)}"
        raise SpaceError(found, where=str(path), fix="give the path of a space file") from error
    sweep = _execute(source, path).get("sweep")
    if not isinstance(sweep, Sweep):
        found = "defines no `sweep`" if sweep is None else f"`sweep` is a {type(sweep).__name__}"
        raise SpaceError(found, where=str(path), fix="end the file with sweep = Sweep(...)")
    return sweep


def _execute(source: str, path: Path) -> dict[str, Any]:
    """Run the file's code and return the names that it defines."""
    name = str(path.resolve())
    module = types.ModuleType(f"space_file_{path.stem}")
    module.__file__ = name
    # So that inspect.getsource finds the file's functions
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    try:
        code = compile(source, name, "exec")
        exec(code, module.__dict__)  # nosec B102
    except SyntaxError as error:
        found = f"SyntaxError: {error.msg}"
        raise SpaceError(found, where=f"{path}:{error.lineno}", fix="mend that line") from error
    except (Exception, SystemExit) as error:
        raise error_in(path, error) from error
    return module.__dict__

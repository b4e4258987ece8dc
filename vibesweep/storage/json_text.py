"""JSON that somebody else may have written: read in one place, with an end to how deep it goes."""

from __future__ import annotations

import json
from typing import Any

DEEPEST = 100
"""Objects and lists inside one another; what we write has ten levels at most."""


def parse_json(content: str | bytes) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: it is not JSON, or nested more deeply than any file of ours: whatever walks
            through the value, if only to print it, would run out of stack.
    """
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if _may_be_deep(content) and _is_deeper(value, DEEPEST):
        raise ValueError(f"it is nested more than {DEEPEST} levels deep")
    return value


def _may_be_deep(content: str | bytes) -> bool:
    """Count what opens a level, at next to no cost: a line of a log has a few."""
    if isinstance(content, str):
        return content.count("[") + content.count("{") > DEEPEST
    return content.count(b"[") + content.count(b"{") > DEEPEST


def _is_deeper(value: Any, levels: int) -> bool:
    """Tell whether a value has more levels, by going through one level after another."""
    level = [value]
    for _ in range(levels + 1):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner.extend(item.values())
            elif isinstance(item, list):
                inner.extend(item)
        level = [item for item in inner if isinstance(item, dict | list)]
        if not level:
            return False
    return True

"""What a model's folder says of it in JSON, which somebody else may have written.

No torch is needed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from vibesweep.storage.json_text import parse_json

LARGEST_NUMBER = 2**31 - 1
"""No size, rate or id of a model is larger."""
MOST_LAYERS = 1_000
"""Each layer takes time to make even without weights; the deepest language models have 126."""
SHOWN_CHARACTERS = 40
LAYERS = ("layers", "head_layers", "num_hidden_layers", "depths", "encoder_depths")
"""Keys of numbers of layers, in bundles and in both of VibeVoice's layouts."""


def parse_description(content: str | bytes) -> dict[str, Any]:
    """Parse a model's description, a ``config.json``.

    Raises:
        ValueError: it is not a JSON object, or has a number that no model can have.
    """
    found = parse_json(content)
    if not isinstance(found, dict):
        raise ValueError(f"it holds a {type(found).__name__}, not an object")
    for key, value in _values_in(found):
        if key in LAYERS:
            _refuse_too_deep(key, value)
        if isinstance(value, int):
            _refuse_too_large(key, value)
    return found


def _values_in(found: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield everything in an object with its key; what is in a list, with the list's."""
    waiting: list[tuple[str, Any]] = list(found.items())
    while waiting:
        key, value = waiting.pop()
        yield key, value
        if isinstance(value, dict):
            waiting.extend(value.items())
        elif isinstance(value, list):
            items = [(key, item) for item in value]
            waiting.extend(items)


def _refuse_too_deep(key: str, value: Any) -> None:
    """Refuse a number of layers, a list of them, or VibeVoice's ``3-3-8``."""
    text = str(value)
    numbers = re.findall(r"\d+", text)
    total = sum(map(int, numbers))
    if total > MOST_LAYERS:
        shown = text[:SHOWN_CHARACTERS]
        raise ValueError(f"{key} is {shown}; a model has at most {MOST_LAYERS} layers")


def _refuse_too_large(key: str, value: int) -> None:
    size = abs(value)
    if size > LARGEST_NUMBER:
        raise ValueError(f"{key} is {value:.3g}, which no model can have")

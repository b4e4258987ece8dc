"""Tensors and the JSON that tells of them, in one folder and replaced as one: on a disk, and in an object store, which has no rename.

The JSON is the card. It names the file of the tensors and is written after it, under one fixed name: tensors that no card names are
none, and whoever reads a card finds the tensors it was written for.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from vibesweep.storage import StoragePath

TENSORS_KEY = "tensors"


def write_pair(
    folder: StoragePath, card: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Write tensors and card, then remove what they replace.

    Args:
        folder: of this pair alone; made if it is not there.
        card: the JSON file's name.
        tensors: on the CPU, contiguous, sharing no memory.
        facts: JSON.
    """
    name = f"{card.removesuffix('.json')}-{secrets.token_hex(4)}.safetensors"
    with (folder / name).drafted() as path:
        save_file(dict(tensors), path)
    (folder / card).write_bytes(json.dumps({TENSORS_KEY: name, **facts}, indent=1).encode() + b"\n")
    for file in folder.files():
        if file.name not in (name, card):
            (folder / file.name).remove()


def has_pair(folder: StoragePath, card: str) -> bool:
    """Whether there is a pair, whole."""
    return (folder / card).is_file()


def read_card(folder: StoragePath, card: str) -> dict[str, Any]:
    """The facts alone.

    Raises:
        OSError, ValueError: there is no pair, or it is broken.
    """
    facts: dict[str, Any] = json.loads((folder / card).read_bytes())
    return facts


@contextmanager
def fetched_pair(folder: StoragePath, card: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The tensors' safetensors file, on this machine for as long as the block lasts, and the facts.

    Raises:
        OSError, KeyError, ValueError: it is not there, or broken.
    """
    facts = read_card(folder, card)
    with (folder / str(facts.pop(TENSORS_KEY))).fetched() as path:
        yield path, facts


def read_pair(folder: StoragePath, card: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors, on the CPU, and facts.

    Raises:
        OSError, KeyError, ValueError, SafetensorError: it is not there, or broken.
    """
    with fetched_pair(folder, card) as (path, facts):
        return load_file(path), facts

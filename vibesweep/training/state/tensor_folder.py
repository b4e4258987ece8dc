"""A folder of one safetensors file and one JSON file that describes it, replaced as one.

This works on a disk and in an object store, which has no rename. The JSON file has a fixed name. It
names the tensors' file, whose name is new each time, and is written after it. So a reader always
finds the tensors that its JSON was written for, and tensors that no JSON names do not count.

A store that refuses for some minutes is waited for: a trial that has trained for hours should not
end by it.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from vibesweep.models.tensor_files import save_tensors
from vibesweep.storage import StoragePath
from vibesweep.storage.json_text import parse_json
from vibesweep.storage.names import is_plain_name
from vibesweep.storage.patience import patiently

TENSORS_KEY = "tensors"


def write_tensor_folder(
    folder: StoragePath, json_name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    """Write tensors and facts, then remove the files that they replace.

    Args:
        folder: the folder, with nothing else in it; it is made if it is not there.
        json_name: the JSON file's name.
        tensors: tensors on the CPU, contiguous, that share no memory.
        facts: what to write beside them, as JSON.
    """
    patiently(folder, lambda: _write(folder, json_name, tensors, facts))


def _write(
    folder: StoragePath, json_name: str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]
) -> None:
    stem = json_name.removesuffix(".json")
    unique = secrets.token_hex(4)
    tensors_name = f"{stem}-{unique}.safetensors"
    with (folder / tensors_name).drafted() as path:
        save_tensors(tensors, path)
    content = {TENSORS_KEY: tensors_name, **facts}
    text = json.dumps(content, indent=1) + "\n"
    (folder / json_name).write_bytes(text.encode())
    current = {tensors_name, json_name}
    for file in folder.files():
        if file.name not in current:
            (folder / file.name).remove()


def is_tensor_folder(folder: StoragePath, json_name: str) -> bool:
    """Return whether tensors and facts have been written there, both whole."""
    return patiently(folder, (folder / json_name).is_file)


def read_facts(folder: StoragePath, json_name: str) -> dict[str, Any]:
    """Read the facts alone.

    Raises:
        OSError, ValueError: the JSON file is missing or broken.
    """
    content = (folder / json_name).read_bytes()
    facts = parse_json(content)
    if not isinstance(facts, dict):
        raise ValueError(f"{json_name} holds no object")
    return facts


def copy_tensor_folder(folder: StoragePath, copy: StoragePath, json_name: str) -> None:
    """Copy tensors and facts from file to file, however large they are.

    Raises:
        OSError, KeyError, ValueError: a file is missing or broken, or was replaced meanwhile.
    """
    with fetched_tensors(folder, json_name) as (path, facts):
        tensors_name = f"{json_name.removesuffix('.json')}.safetensors"
        with (copy / tensors_name).drafted() as draft:
            shutil.copyfile(path, draft)
    text = json.dumps({TENSORS_KEY: tensors_name, **facts}, indent=1) + "\n"
    (copy / json_name).write_bytes(text.encode())


@contextmanager
def fetched_tensors(folder: StoragePath, json_name: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the safetensors file, on this machine while the block lasts, and the facts.

    Raises:
        OSError, KeyError, ValueError: a file is missing or broken, or the JSON file names
            tensors that are not beside it.
    """
    facts = read_facts(folder, json_name)
    tensors_name = facts.pop(TENSORS_KEY)
    if not is_plain_name(tensors_name):
        raise ValueError(f"it names tensors outside of its folder: {tensors_name!r}")
    with (folder / tensors_name).fetched() as path:
        yield path, facts


def read_tensor_folder(
    folder: StoragePath, json_name: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read the tensors, on the CPU, and the facts.

    Raises:
        OSError, KeyError, ValueError, SafetensorError: a file is missing or broken.
    """
    return patiently(folder, lambda: _read(folder, json_name))


def _read(folder: StoragePath, json_name: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    with fetched_tensors(folder, json_name) as (path, facts):
        return load_file(path), facts

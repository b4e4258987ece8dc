"""Safetensors files: saving them, and writing one again with tensors changed or renamed."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from vibesweep.errors import ModelError
from vibesweep.storage.os_errors import is_writing_error, os_error_in

COMPANION_SUFFIXES = (".json", ".jinja", ".txt", ".model")

HUB_BLOBS = "blobs"
"""The folder of the hub's cache to which the links in its folders of snapshots lead."""

SAFETENSORS_METADATA = {"format": "pt"}
"""What transformers and peft look for in the files that they read."""

Change = Callable[[str, Tensor], Tensor | None]
"""Called with a tensor's name and the tensor; returns its replacement, or ``None`` to keep it."""


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: dict[str, str] | None = None
) -> None:
    """Save tensors as safetensors, with the permissions that any new file gets.

    safetensors 0.8 gives its files to their owner alone, whatever the umask is (its issue 782),
    so that an exported model could not be read by anybody else.

    Raises:
        OSError: the disk does not take it, which safetensors has in words alone.
    """
    path.touch()
    permissions = stat.S_IMODE(path.stat().st_mode)
    try:
        save_file(dict(tensors), path, metadata=metadata)
    except SafetensorError as error:
        refused = os_error_in(error)
        if refused is None:
            raise
        refused.filename = str(path)
        raise refused from error
    path.chmod(permissions)


def rewrite(
    source: Path,
    target: Path,
    change: Change | None = None,
    rename: Callable[[str], str] = str,
    added: Mapping[str, Tensor] | None = None,
) -> int:
    """Write a file again with tensors changed, renamed or added.

    A tensor that is not changed keeps its bits, a changed one its type; the metadata stays.

    Memory: the source is mapped, so unchanged tensors are read from disk as they are written, and
    the system can take their pages back. Changed tensors stay in memory, in the source's type,
    until the file is complete: at most one shard file, 2 to 5 GB in released checkpoints.

    Args:
        source: a safetensors file.
        target: the file to write, another one than the source.
        change: called for each tensor; ``None`` changes none.
        rename: from a tensor's name in the source to its name in the target.
        added: tensors that the source lacks, by their names in the target.

    Returns:
        Bytes of all tensors written.

    Raises:
        ModelError: the source cannot be read, or a replacement has another shape than the tensor
            in the source.
        OSError: the disk does not take the target.
    """
    tensors = {name: tensor.contiguous() for name, tensor in (added or {}).items()}
    try:
        with safe_open(source, framework="pt") as stored:
            for name in stored.keys():
                tensor = stored.get_tensor(name)
                replacement = _replacement(name, tensor, change)
                tensors[rename(name)] = tensor if replacement is None else replacement
            save_tensors(tensors, target, stored.metadata())
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        if is_writing_error(error):  # the target's fault, not the source's
            raise
        raise ModelError(
            f"it cannot be copied: {error}", where=str(source), fix="see that it is whole"
        ) from error
    return sum(tensor.nbytes for tensor in tensors.values())


def _replacement(name: str, tensor: Tensor, change: Change | None) -> Tensor | None:
    """Return what replaces a tensor, in its type and on the CPU; ``None`` to keep it."""
    replacement = None if change is None else change(name, tensor)
    if replacement is None:
        return None
    if replacement.shape != tensor.shape:
        stored, trained = list(tensor.shape), list(replacement.shape)
        raise ValueError(f"{name} is {stored} and was trained as {trained}")
    return replacement.detach().to("cpu", tensor.dtype).contiguous()


def copy_companions(source: Path, target: Path) -> None:
    """Copy the files beside the weights: configuration, tokenizer and chat template.

    Raises:
        ModelError: one is a link that leads out of the folder.
    """
    for path in sorted(source.iterdir()):
        is_index = path.name.endswith(".index.json")
        if path.is_file() and path.suffix in COMPANION_SUFFIXES and not is_index:
            _refuse_link_outside(path, source)
            shutil.copyfile(path, target / path.name)


def _refuse_link_outside(path: Path, folder: Path) -> None:
    """Refuse a link to a file elsewhere, which may be private and would be handed on."""
    real = path.resolve()
    allowed = [folder.resolve(), *(parent / HUB_BLOBS for parent in folder.resolve().parents[:2])]
    if not any(real.is_relative_to(place) for place in allowed):
        found = f"it is a link to {real}, outside of its folder"
        raise ModelError(found, where=str(path), fix="put a copy in its place if it belongs there")

"""Safetensors files copied with some tensors changed: bytes that stay are never read as numbers, and one tensor is in memory at a time.

A file is the length of its header in 8 bytes, the header (JSON: type, shape and place of each tensor), and the tensors' bytes in a row.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vibesweep.errors import ModelError

HEADER_ALIGNMENT = 8
COPY_BYTES = 1 << 24
TYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""The types that weights are stored in, by safetensors' names."""

Change = Callable[[str, Callable[[], Tensor]], Tensor | None]
"""From a tensor's name, and a function that reads it, to what takes its place; ``None`` leaves it."""


def rewrite(
    source: Path,
    target: Path,
    change: Change,
    rename: Callable[[str], str] = str,
    more: Mapping[str, Tensor] | None = None,
) -> int:
    """Copy a file with tensors changed, renamed or added; those that are changed keep their type.

    Args:
        source: a safetensors file.
        target: the file to write.
        change: asked of each tensor by its name in the source.
        rename: from a name to the one to be written.
        more: tensors that the source lacks, by the names to be written.

    Returns:
        Bytes of all tensors.

    Raises:
        ModelError: the source cannot be read, or what takes a tensor's place has another shape.
    """
    try:
        with (
            source.open("rb") as reading,
            safe_open(source, framework="pt") as stored,
            target.open("wb") as writing,
        ):
            header = json.loads(reading.read(int.from_bytes(reading.read(8), "little")))
            begin = reading.tell()
            places = {name: place for name, place in header.items() if name != "__metadata__"}
            added = _places_of(
                more or {},
                after=max((place["data_offsets"][1] for place in places.values()), default=0),
            )
            renamed = {rename(name): place for name, place in places.items()}
            kept = {"__metadata__": header["__metadata__"]} if "__metadata__" in header else {}
            _write_header(writing, {**kept, **renamed, **added})
            for name, place in sorted(
                places.items(), key=lambda item: cast(int, item[1]["data_offsets"][0])
            ):
                changed = change(name, lambda name=name: stored.get_tensor(name))  # type: ignore[misc]
                if changed is None:
                    reading.seek(begin + place["data_offsets"][0])
                    _copy(reading, writing, place["data_offsets"][1] - place["data_offsets"][0])
                else:
                    writing.write(_bytes_of(changed, name, place))
            for name, tensor in (more or {}).items():
                writing.write(_bytes_of(tensor, name, added[name]))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise ModelError(
            f"it cannot be copied: {error}",
            where=str(source),
            fix="see that it is whole and the disk has room",
        ) from error
    return sum(
        place["data_offsets"][1] - place["data_offsets"][0]
        for place in (*places.values(), *added.values())
    )


def _places_of(tensors: Mapping[str, Tensor], after: int) -> dict[str, Any]:
    names, places = {dtype: name for name, dtype in TYPES.items()}, {}
    for name, tensor in tensors.items():
        end = after + tensor.nbytes
        places[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [after, end],
        }
        after = end
    return places


def _write_header(writing: BinaryIO, header: Mapping[str, Any]) -> None:
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % HEADER_ALIGNMENT)
    writing.write(len(text).to_bytes(8, "little") + text)


def _copy(reading: BinaryIO, writing: BinaryIO, size: int) -> None:
    while size:
        block = reading.read(min(size, COPY_BYTES))
        if not block:
            raise OSError("it ends too early")
        writing.write(block)
        size -= len(block)


def _bytes_of(tensor: Tensor, name: str, place: Mapping[str, Any]) -> bytes:
    if list(tensor.shape) != place["shape"]:
        raise ValueError(f"{name} is {place['shape']} and was trained as {list(tensor.shape)}")
    plain = tensor.detach().to("cpu", TYPES[place["dtype"]]).reshape(-1)
    return plain.view(torch.uint8).numpy().tobytes()


def copy_companions(source: Path, target: Path) -> None:
    """Copy what lies beside the weights: configuration, tokenizer, template."""
    for path in sorted(source.iterdir()):
        if (
            path.is_file()
            and path.suffix in (".json", ".jinja", ".txt", ".model")
            and not path.name.endswith(".index.json")
        ):
            shutil.copyfile(path, target / path.name)

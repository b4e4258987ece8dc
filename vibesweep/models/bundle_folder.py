"""A bundle's folder: what its files are called, where a bundle lies, and what it says of itself.

A shipped base and what ``vibesweep export`` hands over are laid out alike, so either can be tuned
or spoken with: ``config.json`` (family, sizes and whatever else the family describes it by),
``model.safetensors`` (weights) and ``voices.safetensors`` (a voice prompt for each person). None of
it is a pickle, and no torch is needed to read the description.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vibesweep.errors import ModelError
from vibesweep.models.descriptions import parse_description

FORMAT_VERSION = 1
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
VOICES = "voices.safetensors"
SHIPPED = Path(__file__).parent / "bases"
REASON_CHARACTERS = 300


def shipped_names() -> list[str]:
    """Name the bases that come with the package."""
    return sorted(path.name for path in SHIPPED.iterdir() if path.is_dir())


def find_folder(name: str) -> Path | None:
    """Find a model's folder by its path or a shipped base's name; None where there is none."""
    by_path = Path(name).expanduser()
    shipped = SHIPPED / name
    for folder in (by_path, shipped):
        description = folder / CONFIG
        if description.is_file():
            return folder
    return None


def bundle_folder(address: str) -> Path:
    """Find a bundle by its folder or a shipped base's name.

    Raises:
        ModelError: there is none.
    """
    folder = find_folder(address)
    if folder is not None:
        return folder
    fix = f"name a model's folder or a shipped base ({', '.join(shipped_names())})"
    raise ModelError(f"no model: no folder with a {CONFIG}", where=address, fix=fix)


def family_in(folder: Path) -> str | None:
    """Read which family a folder's bundle says it is of; None where it says nothing."""
    try:
        description = _read_json(folder / CONFIG)
        family = description.get("family")
    except (OSError, ValueError):
        return None
    return family if isinstance(family, str) else None


def read_description(folder: Path) -> dict[str, Any]:
    """Read what a bundle says of itself.

    Raises:
        ModelError: it cannot be read, or is of another version.
    """
    try:
        description = _read_json(folder / CONFIG)
        version = description["format_version"]
    except (OSError, KeyError, ValueError) as error:
        raise unreadable(folder, error) from error
    if version != FORMAT_VERSION:
        found = f"it is of format version {version}"
        fix = f"export it with this version of vibesweep, which reads version {FORMAT_VERSION}"
        raise ModelError(found, where=str(folder), fix=fix)
    return description


def unreadable(folder: Path, error: Exception) -> ModelError:
    """Say in one line why a bundle cannot be read."""
    words = str(error).split()
    reason = " ".join(words)[:REASON_CHARACTERS]
    found = f"the model cannot be read: {reason}"
    return ModelError(found, where=str(folder), fix="export or copy it again")


def _read_json(file: Path) -> dict[str, Any]:
    return parse_description(file.read_bytes())

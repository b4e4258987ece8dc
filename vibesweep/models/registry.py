"""The table of model families, and what a model's name refers to.

A family of another package is found by an entry point of the group ``vibesweep.families`` whose
name is the family's and whose value is its :class:`~vibesweep.models.family.ModelFamily` class.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, cast

from vibesweep.errors import ModelError
from vibesweep.models.bundle_folder import CONFIG, find_folder, shipped_names
from vibesweep.models.family import ModelFamily

if TYPE_CHECKING:
    from vibesweep.models.speech_model import SpeechModel

FAMILY_CLASSES = {
    "mel": "vibesweep.models.mel.family:MelFamily",
    "vibevoice": "vibesweep.models.vibevoice.family:VibeVoiceFamily",
}
"""Class of each family by its name."""

ENTRY_POINTS = "vibesweep.families"


@dataclass(frozen=True)
class ModelRef:
    """A model by family and address. Names are parsed once, where they come in.

    Attributes:
        family_name: which family it is of.
        address: a shipped base's name, a folder, or what else the family understands.
    """

    family_name: str
    address: str

    @classmethod
    def parse(cls, name: str) -> ModelRef:
        """Parse a shipped base's name, a model's folder, or ``family:address``.

        Raises:
            ModelError: there is no such model.
        """
        scheme, _, address = name.partition(":")
        if address and scheme in families():
            return cls(scheme, address)
        folder = find_folder(name)
        if folder is not None:
            return cls(_owner(folder), name)
        shipped = ", ".join(shipped_names())
        fix = (
            f"name a model's folder or a shipped base ({shipped});"
            " a VibeVoice checkpoint of the hub is vibevoice:OWNER/NAME"
        )
        raise ModelError(f"no model: no folder with a {CONFIG}", where=name, fix=fix)

    def __str__(self) -> str:
        """Spell the name so that :meth:`parse` gives this reference again."""
        if self.family.needs_scheme:
            return f"{self.family_name}:{self.address}"
        return self.address

    @property
    def family(self) -> ModelFamily:
        """The family, which knows all else about the model."""
        return families()[self.family_name]

    def load(self) -> SpeechModel:
        """Load the model; see :meth:`vibesweep.models.family.ModelFamily.load`."""
        return self.family.load(self.address)

    def located(self) -> ModelRef:
        """Make a reference that other processes and hosts understand.

        Raises:
            ModelError: there is no such model.
        """
        address = self.family.locate(self.address)
        return replace(self, address=address)


@functools.cache
def families() -> Mapping[str, ModelFamily]:
    """Make one object of each family, by name.

    Raises:
        ModelError: a package declares a family that cannot be imported.
    """
    classes = {name: _class_at(address) for name, address in FAMILY_CLASSES.items()}
    for entry_point in entry_points(group=ENTRY_POINTS):
        family_class = _declared_class(entry_point)
        classes.setdefault(entry_point.name, family_class)
    return {name: family_class() for name, family_class in classes.items()}


def _class_at(address: str) -> type[ModelFamily]:
    module_name, _, class_name = address.partition(":")
    module = import_module(module_name)
    family_class = getattr(module, class_name)
    return cast(type[ModelFamily], family_class)


def _declared_class(entry_point: EntryPoint) -> type[ModelFamily]:
    """Import a family's class of another package."""
    try:
        return cast(type[ModelFamily], entry_point.load())
    except (ImportError, AttributeError) as error:
        found = f"the family {entry_point.name!r} cannot be imported: {error}"
        fix = "mend or uninstall its package"
        raise ModelError(found, where=entry_point.value, fix=fix) from error


def _owner(folder: Path) -> str:
    """Name the family of a folder's model."""
    for name, family in families().items():
        if family.owns(folder):
            return name
    known = ", ".join(families())
    fix = f"name a model of one of the families {known}"
    raise ModelError("the folder's model is of no known family", where=str(folder), fix=fix)

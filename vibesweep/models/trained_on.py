"""What preprocessing decided about the speech that a model was trained on: it goes with the model.

A text must be read at synthesis as it was in training, or the model is given phonemes that it has
never met. A bundle keeps this in its ``config.json``, under ``trained_on``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vibesweep.corpus.shards.manifest import Manifest
from vibesweep.corpus.text.language import DEFAULT_LANGUAGE
from vibesweep.corpus.text.version import TEXT_VERSION
from vibesweep.errors import ModelError

TRAINED_ON = "trained_on"


@dataclass(frozen=True)
class TrainedOn:
    """How the texts and sounds of a model's training were made.

    The defaults are those of bundles that do not say, which earlier versions wrote.

    Attributes:
        language: the eSpeak NG voice that read all but Han characters.
        text_version: version of how texts were read; None where the bundle does not say.
        languages: how many turns were in each language, where Mandarin is ``zh``.
        format: what sounds and symbols were to the model, by name, as
            :meth:`vibesweep.models.bundle.BundleModel.data_format` has it.
    """

    language: str = DEFAULT_LANGUAGE
    text_version: int | None = None
    languages: Mapping[str, int] = field(default_factory=dict)
    format: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def from_description(cls, description: Mapping[str, Any], where: Path) -> TrainedOn:
        """Read it from what a bundle says of itself.

        Raises:
            ModelError: it is not of this form, or texts were read by a later version.
        """
        found = description.get(TRAINED_ON, {})
        try:
            trained_on = cls(**found)
            is_later = (trained_on.text_version or 0) > TEXT_VERSION
        except TypeError as error:
            wrong = f"its {TRAINED_ON} does not fit: {error}"
            raise ModelError(wrong, where=str(where), fix="export it again") from error
        if is_later:
            wrong = (
                f"its texts were read by version {trained_on.text_version} of the text"
                f" normalization, and this vibesweep has version {TEXT_VERSION}"
            )
            raise ModelError(wrong, where=str(where), fix="install a newer vibesweep")
        return trained_on

    def after(self, manifest: Manifest) -> TrainedOn:
        """Return what is true of a model of this after it was tuned on shards."""
        settings = manifest.encoder.settings
        return replace(
            self,
            language=settings.get("language", self.language),
            text_version=settings.get("text_version", self.text_version),
            languages=manifest.languages,
        )

    def to_json(self) -> dict[str, Any]:
        """Return it as a bundle keeps it."""
        return asdict(self)

    def check_format(self, now: Mapping[str, Any], where: Path) -> None:
        """Refuse a model that would now be given other sounds or symbols than it was trained on.

        Raises:
            ModelError: something differs.
        """
        different = [
            f"{name} is {now.get(name)}, the model was trained with {before}"
            for name, before in self.format.items()
            if now.get(name) != before
        ]
        if different:
            fix = "undo the change of its config.json, or export it again"
            raise ModelError("; ".join(different), where=str(where), fix=fix)

    def remarks(self) -> tuple[str, ...]:
        """Say in a line that texts are read otherwise now, if they are."""
        if self.text_version in (None, TEXT_VERSION):
            return ()
        remark = (
            f"the model was trained on texts read by version {self.text_version} of the text"
            f" normalization; it is version {TEXT_VERSION} now, and some words may sound odd"
        )
        return (remark,)

"""A model that speaks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vibesweep.models.family import SpeakingSettings, Speech


@dataclass(frozen=True)
class Voice:
    """A model that speaks: an export, a shipped base, or a checkpoint.

    Attributes:
        name: a folder's path or URI, a base's name, or ``vibevoice:<folder or hub id>``.
    """

    name: str

    def synthesize(
        self,
        text: str,
        out: str | Path,
        *,
        voices: Sequence[str] | Mapping[str, str] = (),
        settings: SpeakingSettings | None = None,
    ) -> Speech:
        """Speak a text into a sound file.

        Args:
            text: what is said: ``[SPEAKER_A] Hello. [SPEAKER_B] Hi.``
            out: the file; its ending, .wav, .flac, .ogg or .mp3, chooses the format.
            voices: who speaks, by tag or in the order of the tags: voices of the model or, for
                VibeVoice, recordings.
            settings: how it is sampled.

        Returns:
            How long the speech is, who spoke, and remarks.

        Raises:
            ModelError: the model cannot be read, or lacks much of the text's phonemes.
            SpeechError: there is nothing to say, an unknown voice, or more text than fits.
            StorageError: the file cannot be written.
        """
        from vibesweep.delivery.synthesize import fetched_model, synthesize

        with fetched_model(self.name) as model:
            return synthesize(model, text, Path(out), voices=voices, settings=settings)

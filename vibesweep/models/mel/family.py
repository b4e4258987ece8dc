"""The family ``mel``: bundles of phonemes, PCA-projected mels and VibeVoice's architecture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vibesweep.config import MelSettings
from vibesweep.corpus.text.language import DEFAULT_LANGUAGE
from vibesweep.errors import ShardsError
from vibesweep.models.bundle_family import BundleFamily
from vibesweep.models.bundle_folder import bundle_folder, read_description
from vibesweep.models.family import SpeakingSettings, Speech
from vibesweep.models.mel.recipe import mel_recipe
from vibesweep.models.recipe import Recipe

if TYPE_CHECKING:
    from vibesweep.corpus.clip_encoder import ClipEncoder
    from vibesweep.corpus.recordings import Turn
    from vibesweep.corpus.shards.manifest import Manifest
    from vibesweep.models.bundle import Bundle, BundleModel

MOST_UNKNOWN = 0.01
"""Share of a corpus's phonemes that a base may lack.

It allows for a foreign name here and there, not for another language.
"""


class MelFamily(BundleFamily):
    """Models that read phonemes and speak mels."""

    name = "mel"

    def network(self) -> type[BundleModel]:
        """Import the network."""
        from vibesweep.models.mel.model import MelModel

        return MelModel

    def clip_encoder(self, address: str, language: str = DEFAULT_LANGUAGE) -> ClipEncoder:
        """Encode clips by the base's own mel settings."""
        from vibesweep.corpus.text.phonemes import check_language
        from vibesweep.models.mel.encoder import MelEncoder

        folder = bundle_folder(address)
        description = read_description(folder)
        check_language(language)
        return MelEncoder(MelSettings(**description["mel"]), language)

    def recipe(self, clips: int) -> Recipe:
        """Search rate, optimizer and method, by the base's own ranges."""
        return mel_recipe(clips)

    def check_columns(
        self, description: Mapping[str, Any], manifest: Manifest, where: str
    ) -> str | None:
        """Refuse other mel settings and a language whose phonemes the base lacks.

        Returns:
            The few phonemes that the base lacks, if there are any.
        """
        from vibesweep.corpus.text.phoneme_table import PhonemeTable, listed_symbols

        own = MelSettings(**description["mel"])
        found = MelSettings(**manifest.encoder.settings["mel"])
        if found != own:
            wrong = _difference(found, own)
            fix = "preprocess the corpus again with the model's settings"
            raise ShardsError(wrong, where=where, fix=fix)
        symbols = manifest.encoder.counts.get("symbols", {})
        missing = PhonemeTable.from_json(description["phonemes"]).missing(symbols)
        if not missing:
            return None
        counts = Counter({symbol: symbols[symbol] for symbol in missing})
        remark = f"the model has no token for the phonemes {listed_symbols(counts)}"
        if counts.total() > MOST_UNKNOWN * sum(symbols.values()):
            fix = (
                "remove the texts that hold them, or train a base on such speech"
                " (python -m examples.base.train)"
            )
            raise ShardsError(remark, where=where, fix=fix)
        return f"{remark}; they are left out"

    def speak(
        self,
        bundle: Bundle,
        turns: Sequence[Turn],
        voices: dict[str, str],
        out: Path,
        settings: SpeakingSettings,
    ) -> Speech:
        """Speak by phonemes, latents, log-mel and Griffin-Lim."""
        from vibesweep.models.mel.speech import speak_turns

        return speak_turns(bundle, turns, voices, out, settings)


def _difference(found: MelSettings, own: MelSettings) -> str:
    """Say which mel settings of shards and model differ."""
    own_values = asdict(own)
    different = [
        f"{name} {value} (the model: {own_values[name]})"
        for name, value in asdict(found).items()
        if value != own_values[name]
    ]
    return f"the shards were made with {', '.join(different)}"

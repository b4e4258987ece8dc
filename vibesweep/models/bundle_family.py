"""What families share whose models are bundles: where they lie, how they are loaded and exported.

A family adds its encoder, its network and its way to speak. torch is imported by what needs it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vibesweep.errors import ShardsError, SpeechError
from vibesweep.models.bundle_folder import bundle_folder, family_in, read_description
from vibesweep.models.family import ModelFamily, SpeakingSettings, Speech, TunedTrial
from vibesweep.models.trained_on import TrainedOn

if TYPE_CHECKING:
    from vibesweep.corpus.recordings import Turn
    from vibesweep.corpus.shards.manifest import Manifest
    from vibesweep.models.bundle import Bundle, BundleModel

ADAPTER = "adapter"
"""Folder of a bundle that holds the LoRA adapter alone, as peft reads it."""


class BundleFamily(ModelFamily):
    """A family whose models are bundles."""

    layouts = ("bundle",)

    @abstractmethod
    def network(self) -> type[BundleModel]:
        """Import the class of the family's model."""

    @abstractmethod
    def speak(
        self,
        bundle: Bundle,
        turns: Sequence[Turn],
        voices: dict[str, str],
        out: Path,
        settings: SpeakingSettings,
    ) -> Speech:
        """Speak turns into a wav file.

        Args:
            bundle: the model and its voices.
            turns: what is said.
            voices: name of the bundle's voice for each tag that has one.
            out: the wav file.
            settings: how it is sampled.
        """

    def owns(self, folder: Path) -> bool:
        """Look what the folder's description says."""
        return family_in(folder) == self.name

    def locate(self, address: str) -> str:
        """Make a folder's path absolute; a shipped base's name stays."""
        folder = bundle_folder(address)
        is_path = Path(address).expanduser().exists()
        return str(folder.resolve()) if is_path else address

    def folder(self, address: str) -> Path | None:
        """Name the bundle's folder; shipped bases come with the package."""
        path = Path(address).expanduser()
        return path if path.exists() else None

    def check_shards(self, address: str, manifest: Manifest, where: str) -> str | None:
        """Refuse shards of another family, then ask :meth:`check_columns`."""
        made_for = manifest.encoder.family
        if made_for != self.name:
            found = f"the shards were made for the family {made_for}, not {self.name}"
            fix = f"preprocess the corpus again with --model {address}"
            raise ShardsError(found, where=where, fix=fix)
        folder = bundle_folder(address)
        description = read_description(folder)
        return self.check_columns(description, manifest, where)

    def check_columns(
        self, description: dict[str, object], manifest: Manifest, where: str
    ) -> str | None:
        """Look whether the family's columns fit a model of this description; as check_shards."""
        return None

    def language(self, address: str) -> str:
        """Read it from the bundle's description."""
        folder = bundle_folder(address)
        description = read_description(folder)
        return TrainedOn.from_description(description, folder).language

    def load(self, address: str) -> BundleModel:
        """Load the bundle's model."""
        return self._bundle(address).model

    def voices(self, address: str) -> tuple[str, ...]:
        """Name the bundle's voices."""
        folder = bundle_folder(address)
        description = read_description(folder)
        return tuple(description["voices"])

    def export(self, trial: TunedTrial, out: Path, layout: str) -> None:
        """Write a bundle with merged weights, the people's voices, and the LoRA adapter alone."""
        from peft import PeftModel
        from safetensors.torch import load_file

        from vibesweep.corpus.shards.manifest import read_clips, read_manifest
        from vibesweep.models.adapters import load_trained, merged
        from vibesweep.models.bundle import save_bundle

        bundle = self._bundle(trial.base)
        base = bundle.model
        weights = load_file(trial.weights)
        checkpoint = trial.weights.parent
        model = load_trained(base, trial.settings, weights, str(checkpoint))
        shards = trial.checked_shards()
        clips = [base.encode(clip) for clip in read_clips(shards, "train")]
        voices = base.voice_prompts(clips)
        plain: BundleModel = merged(model)  # type: ignore[assignment]  # the base's own class
        trained_on = bundle.trained_on.after(read_manifest(shards))
        save_bundle(plain, voices, out, trained_on=trained_on)
        if isinstance(model, PeftModel):
            adapter = out / ADAPTER
            model.save_pretrained(str(adapter))

    def synthesize(
        self,
        address: str,
        turns: Sequence[Turn],
        out: Path,
        voices: Sequence[str],
        settings: SpeakingSettings,
    ) -> Speech:
        """Load the bundle, give each speaker a voice, and speak."""
        bundle = self._bundle(address)
        tags = list(dict.fromkeys(turn.tag for turn in turns))
        voice_of_tag = _assign_voices(tags, voices, bundle)
        return self.speak(bundle, turns, voice_of_tag, out, settings)

    def _bundle(self, address: str) -> Bundle:
        from vibesweep.models.bundle import load_bundle

        folder = bundle_folder(address)
        network = self.network()
        return load_bundle(folder, network)


def _assign_voices(tags: Sequence[str], wanted: Sequence[str], bundle: Bundle) -> dict[str, str]:
    """Give each tag a voice: those asked for, then the bundle's other voices in their order."""
    unknown = [name for name in wanted if name not in bundle.voices]
    if unknown:
        missing = ", ".join(unknown)
        known = ", ".join(bundle.voices)
        found = f"the model has no voice {missing}"
        fix = f"choose among {known}"
        raise SpeechError(found, where=str(bundle.folder), fix=fix)
    others = [name for name in bundle.voices if name not in wanted]
    in_order = [*wanted, *others]
    return dict(zip(tags, in_order, strict=False))

"""What families share whose models are bundles: where they lie, how they are loaded and exported.

A family adds its encoder, its network and its way to speak. torch is imported by what needs it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vibesweep.errors import ShardsError, SpeechError
from vibesweep.models.bundle_folder import bundle_folder, family_in, read_description
from vibesweep.models.family import (
    ModelFamily,
    SpeakingSettings,
    Speech,
    SpeechChange,
    TunedTrial,
)
from vibesweep.models.trained_on import TrainedOn

if TYPE_CHECKING:
    from vibesweep.corpus.recordings import Turn
    from vibesweep.corpus.shards.manifest import Manifest
    from vibesweep.models.bundle import Bundle, BundleModel

ADAPTER = "adapter"
"""Folder of a bundle that holds what a LoRA trial trained and nothing else, as peft reads it."""


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

    def skeleton(self, address: str) -> BundleModel:
        """Make the network that the bundle describes, on the meta device."""
        from vibesweep.models.bundle import empty_network

        folder = bundle_folder(address)
        description = read_description(folder)
        return empty_network(self.network(), description, folder)

    def voices(self, address: str) -> tuple[str, ...]:
        """Name the bundle's voices."""
        folder = bundle_folder(address)
        return tuple(read_description(folder)["voices"])

    def export(self, trial: TunedTrial, out: Path, layout: str) -> None:
        """Write a bundle with merged weights, the people's voices, and the LoRA adapter alone."""
        from peft import PeftModel
        from safetensors.torch import load_file

        from vibesweep.corpus.shards.manifest import read_clips, read_manifest
        from vibesweep.models.adapters import load_trained, merged, save_adapter
        from vibesweep.models.bundle import save_bundle

        bundle = self._bundle(trial.base)
        base = bundle.model
        weights = load_file(trial.weights)
        checkpoint = trial.weights.parent
        model = load_trained(base, trial.settings, weights, str(checkpoint))
        shards = trial.checked_shards()
        voices = trial.voices
        if voices is None:
            clips = [base.encode(clip) for clip in read_clips(shards, "train")]
            voices = base.voice_prompts(clips)
        plain: BundleModel = merged(model)  # type: ignore[assignment]  # the base's own class
        trained_on = bundle.trained_on.after(read_manifest(shards))
        save_bundle(plain, dict(voices), out, trained_on=trained_on)
        if isinstance(model, PeftModel):
            save_adapter(model, trial.settings, out / ADAPTER)

    def speech_change(self, trial: TunedTrial, out: Path, layout: str) -> SpeechChange:
        """Compare the bundle with its base, where the family's network can."""
        from vibesweep.models.qwen2 import Qwen2SpeechModel
        from vibesweep.models.speech_change import speech_change

        base = self.load(trial.base)
        tuned = self.load(str(out))
        if not isinstance(base, Qwen2SpeechModel) or not isinstance(tuned, Qwen2SpeechModel):
            return super().speech_change(trial, out, layout)
        rate = f"{trial.settings.learning_rate:g}"
        reason = (
            "what the trial changed is next to nothing;"
            f" train for more steps, or at a learning_rate above {rate}"
        )
        return speech_change(base.predict_probe(), tuned.predict_probe(), reason)

    def lend_voices(self, address: str, lender: str, out: Path) -> str:
        """Write a bundle of the model's weights and the lender's voices."""
        from vibesweep.models.bundle import save_bundle

        bundle = self._bundle(address)
        voices = self._bundle(lender).voices
        save_bundle(bundle.model, voices, out, trained_on=bundle.trained_on)
        return str(out)

    def synthesize(
        self,
        address: str,
        turns: Sequence[Turn],
        out: Path,
        voices: Mapping[str, str],
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


def _assign_voices(
    tags: Sequence[str], wanted: Mapping[str, str], bundle: Bundle
) -> dict[str, str]:
    """Give each tag the voice asked for, else one of the bundle's other voices in their order."""
    unknown = [name for name in wanted.values() if name not in bundle.voices]
    if unknown:
        missing = ", ".join(unknown)
        known = ", ".join(bundle.voices)
        found = f"the model has no voice {missing}"
        fix = f"choose among {known}"
        raise SpeechError(found, where=str(bundle.folder), fix=fix)
    others = iter([name for name in bundle.voices if name not in wanted.values()])
    voice_of_tag = {}
    for tag in tags:
        voice = wanted.get(tag) or next(others, None)
        if voice is not None:
            voice_of_tag[tag] = voice
    return voice_of_tag

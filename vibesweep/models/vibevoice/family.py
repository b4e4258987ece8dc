"""The family ``vibevoice``: Microsoft's VibeVoice as transformers' checkpoints.

A model is named ``vibevoice:<folder or hub id>``; a checkpoint's folder alone will do too. torch
and transformers are imported by what needs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vibesweep.corpus.text.language import DEFAULT_LANGUAGE
from vibesweep.errors import SpeechError
from vibesweep.models.family import (
    ModelFamily,
    SpeakingSettings,
    Speech,
    SpeechChange,
    TunedTrial,
)
from vibesweep.models.recipe import Recipe
from vibesweep.models.vibevoice.recipe import RECIPE

if TYPE_CHECKING:
    from vibesweep.corpus.clip_encoder import ClipEncoder
    from vibesweep.corpus.recordings import Turn
    from vibesweep.corpus.shards.manifest import Manifest
    from vibesweep.models.speech_model import SpeechModel
    from vibesweep.models.vibevoice.export import TrainedTensors


class VibeVoiceFamily(ModelFamily):
    """Checkpoints of VibeVoice."""

    name = "vibevoice"
    layouts = ("merged", "peft", "lora", "comfyui", "original")
    needs_scheme = True
    voices_are_recordings = True

    def owns(self, folder: Path) -> bool:
        """Look at the model type that the folder's configuration names."""
        from vibesweep.models.vibevoice.checkpoint import is_checkpoint

        return is_checkpoint(folder)

    def locate(self, address: str) -> str:
        """Open the checkpoint; a folder's path is made absolute and a hub id stays.

        Another host has a download of its own, so this one's would mean nothing there.
        """
        from vibesweep.models.vibevoice.checkpoint import Checkpoint

        folder = Checkpoint.open(address).folder
        return str(folder) if self.folder(address) is not None else address

    def folder(self, address: str) -> Path | None:
        """Name the checkpoint's folder; of a hub id each host has its own download."""
        path = Path(address).expanduser()
        return path if path.exists() else None

    def clip_encoder(self, address: str, language: str = DEFAULT_LANGUAGE) -> ClipEncoder:
        """Encode clips by the checkpoint's tokenizer and its two frozen encoders."""
        from vibesweep.models.vibevoice.encoder import VibeVoiceEncoder

        return VibeVoiceEncoder.of(self.locate(address), language)

    def recipe(self, clips: int) -> Recipe:
        """Search the rate of LoRA first of all."""
        return RECIPE

    def check_shards(self, address: str, manifest: Manifest, where: str) -> str | None:
        """Refuse shards of other encoders, with too many speakers, or longer than the context."""
        from vibesweep.models.vibevoice.checkpoint import Checkpoint
        from vibesweep.models.vibevoice.features import check_features

        check_features(Checkpoint.open(address), manifest, where)
        return None

    def load(self, address: str) -> SpeechModel:
        """Load what is trained of the checkpoint."""
        from vibesweep.models.vibevoice.checkpoint import Checkpoint
        from vibesweep.models.vibevoice.model import VibeVoiceModel

        return VibeVoiceModel.from_checkpoint(Checkpoint.open(address))

    def skeleton(self, address: str) -> SpeechModel:
        """Make the network of the checkpoint's configuration, on the meta device."""
        import torch

        from vibesweep.models.vibevoice.checkpoint import Checkpoint
        from vibesweep.models.vibevoice.model import VibeVoiceModel

        config = Checkpoint.open(address).config
        with torch.device("meta"):
            return VibeVoiceModel(config)

    def export(self, trial: TunedTrial, out: Path, layout: str) -> None:
        """Write one of the layouts from the base's files and what the trial trained."""
        from vibesweep.models.vibevoice.export import write_layout

        write_layout(layout, self._trained(trial), out, trial.base)

    def speech_change(self, trial: TunedTrial, out: Path, layout: str) -> SpeechChange:
        """Read the layout back as its loaders do, and compare it with the base."""
        from vibesweep.models.vibevoice.export.read_back import measure_change

        return measure_change(self._trained(trial), out, layout)

    def _trained(self, trial: TunedTrial) -> TrainedTensors:
        from vibesweep.models.vibevoice.checkpoint import Checkpoint
        from vibesweep.models.vibevoice.export import TrainedTensors
        from vibesweep.models.vibevoice.features import scale_and_bias

        base = Checkpoint.open(trial.base)
        rules = None
        if base.scale_and_bias is None:
            rules = scale_and_bias(trial.checked_shards(), base.config.audio_config.vae_std)
        return TrainedTensors.read(base, trial.weights, trial.settings, rules)

    def voices(self, address: str) -> tuple[str, ...]:
        """Name none: voices are taken from recordings."""
        return ()

    def synthesize(
        self,
        address: str,
        turns: Sequence[Turn],
        out: Path,
        voices: Mapping[str, str],
        settings: SpeakingSettings,
    ) -> Speech:
        """Speak with transformers' own ``generate``; ``voices`` are recordings."""
        if settings.language is not None:
            found = "VibeVoice reads texts itself, in whatever language they are"
            raise SpeechError(found, where="--language", fix="leave it out")
        from vibesweep.models.vibevoice.checkpoint import Checkpoint
        from vibesweep.models.vibevoice.speech import speak_vibevoice

        return speak_vibevoice(Checkpoint.open(address).folder, turns, out, voices, settings)

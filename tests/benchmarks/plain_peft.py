"""A trial as trainers make it with peft alone: what a lane's trials are compared with."""

from __future__ import annotations

import torch
from torch import nn

from vibesweep.config import TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.losses import LossNormalizer
from vibesweep.training.worker_context import WorkerContext


class PlainPeft:
    """The model eager under bf16 autocast, torch's AdamW, and one batch that lies ready.

    Attributes:
        network: the base with adapters.
        trained: the parameters that are trained, by their names.
    """

    def __init__(self, context: WorkerContext, settings: TrialSettings) -> None:
        """Put adapters on the base, and make the batch of the step's clips."""
        self.network = for_trial(context.base, settings).train()
        self.trained = {
            name: part for name, part in self.network.named_parameters() if part.requires_grad
        }
        self._settings = settings
        self._optimizer = torch.optim.AdamW(self.trained.values(), lr=settings.learning_rate)
        clips = context.voice_clips[: settings.batch_clips]
        patches = [clip.patches for clip in clips]
        self._normalizer = LossNormalizer.of(patches, context.base.stop_weights)
        device = context.world.device
        self._batch = context.collator.training(clips, 0, 0).to(device)
        self._device_type = torch.device(device).type

    def autocast(self) -> torch.autocast:
        """Compute in bf16 in this block."""
        return torch.autocast(self._device_type, torch.bfloat16)

    def step(self) -> float:
        """Take an optimizer step, and return its loss."""
        with self.autocast():
            losses = self.network(self._batch)
        loss = self._normalizer.weighted_loss(losses, 1.0, 0.2)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self.trained.values(), self._settings.grad_clip_norm)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return float(loss.item())

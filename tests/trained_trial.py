"""A finished VibeVoice sweep of one trial, as exports find it: no training, no Ray."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import VibeVoiceForConditionalGeneration

from tests.checkpoint import write_checkpoint
from vibesweep.config import Sweep, TrialSettings
from vibesweep.models.adapters import for_trial
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.model import VibeVoiceModel
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord, TrialState, sweep_as_json
from vibesweep.training.state.checkpoint import save_checkpoint

LORA = TrialSettings(method="lora", lora_rank=4, lora_alpha_ratio=2.0)
HEADS_IN_FULL = dataclasses.replace(LORA, lora_head="full", lora_connectors="full")
METHODS = {
    "lora": LORA,
    "heads in full": HEADS_IN_FULL,
    "dora": dataclasses.replace(LORA, lora_dora=True),
    "rslora": dataclasses.replace(
        LORA, lora_rslora=True, lora_alpha=3.0, lora_targets=r".*(q_proj|linear_\d|cond_proj)"
    ),
    "full": TrialSettings(method="full"),
    "freeze": TrialSettings(method="freeze", freeze_layers=1),
}

BF16_ROUNDING = 2**-8
"""Half of the last bit of a bfloat16, and as much for the rounding before it."""


def leave_trial(
    root: Path,
    settings: TrialSettings,
    *,
    tied: bool = True,
    shard_size: str = "",
    change: float = 0.05,
) -> tuple[SweepFolder, nn.Module]:
    """Write a base and a sweep whose only trial changed every weight that its settings train.

    Args:
        root: gets the folders ``base`` and ``sweep``.
        settings: the trial's settings.
        tied: whether the base's output layer is its embedding.
        change: spread of what is added to each of these weights.
        shard_size: splits the base into files of at most this size, such as ``400KB``.

    Returns:
        The sweep's folder and the trained model.
    """
    base = write_checkpoint(root / "base", tied=tied)
    if shard_size:
        split_checkpoint(base, shard_size)
    torch.manual_seed(3)
    model = for_trial(VibeVoiceModel.from_checkpoint(Checkpoint.open(str(base))), settings)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(change * torch.randn_like(parameter))
    sweep = SweepFolder(root / "sweep")
    save_checkpoint(model, settings, {"step": 3}, sweep.checkpoints / "t0")
    write_record(sweep, base, root / "shards", settings, loss=0.5)
    return sweep, model


def write_record(
    sweep: SweepFolder,
    base: Path,
    shards: Path,
    settings: TrialSettings,
    *,
    loss: float,
    signature: str = "",
) -> None:
    """Write the record of a sweep whose only trial, ``t0``, is complete."""
    record = SweepRecord(
        "sweep",
        f"vibevoice:{base}",
        str(shards),
        signature,
        sweep_as_json(Sweep(space={}, trials=1)),
        1,
        {},
    )
    trial = TrialRecord(
        "t0", 0, {}, dataclasses.asdict(settings), TrialState.COMPLETE, best_loss_val=loss
    )
    sweep.write(dataclasses.replace(record, trials=[trial]))


def split_checkpoint(folder: Path, shard_size: str) -> None:
    """Save a checkpoint again in files of at most this size."""
    model = VibeVoiceForConditionalGeneration.from_pretrained(folder, dtype="auto")
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size=shard_size)


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Read all tensors of a folder, whichever files hold them."""
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors.update(load_file(file))
    return tensors

"""A trial on a VibeVoice checkpoint, as a lane's worker trains it.

What the released sizes take is counted on the meta device.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests import vibe
from tests.checkpoint import released_config, write_checkpoint
from vibesweep.config import TrialSettings
from vibesweep.errors import ModelError
from vibesweep.models.adapters import for_trial, trained_parameters
from vibesweep.models.clips import Augmentation
from vibesweep.models.registry import ModelRef
from vibesweep.models.vibevoice.model import VibeVoiceModel
from vibesweep.training.state.checkpoint import load_checkpoint
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World


@pytest.fixture(scope="module")
def context(tmp_path_factory: pytest.TempPathFactory) -> WorkerContext:
    folder = tmp_path_factory.mktemp("vibevoice")
    checkpoint = write_checkpoint(folder / "checkpoint")
    model = ModelRef.parse(f"vibevoice:{checkpoint}")
    shards = vibe.write_shards(folder / "shards", checkpoint)
    return WorkerContext.open(model, shards, World())


def start(context: WorkerContext, **changes: Any) -> TrialRun:
    settings: dict[str, Any] = {
        "learning_rate": 3e-3,
        "batch_clips": 4,
        "lora_head": "full",
        "lora_targets": "attention",
        **changes,
    }
    return TrialRun(context, TrialSettings(**settings), max_steps=40)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"method": "full", "learning_rate": 1e-3},
        {"silence_after_s": 0.4, "micro_batch_tokens": 600},
    ],
)
def test_a_trial_lowers_the_validation_loss(
    context: WorkerContext, changes: dict[str, Any]
) -> None:
    run = start(context, **changes)
    before = run.validate()
    assert run.advance(40).loss_val < 0.9 * before
    base_loss = context.validate(context.base)
    assert base_loss == pytest.approx(before, rel=1e-6), "the base is as it was"


def test_settings_that_vary_the_clips_leave_validation_alone(context: WorkerContext) -> None:
    plain = start(context).validate()
    for changes in (
        {"silence_before_s": 1.0},
        {"voice_prompt_drop": 1.0},
        {"specaugment_time_share": 0.5},
    ):
        run = start(context, **changes)
        assert run.validate() == plain
        assert run.advance(1).loss_train != start(context).advance(1).loss_train


def test_the_step_with_silence_is_the_same_however_it_is_cut(context: WorkerContext) -> None:
    settings = {"silence_after_s": 0.4, "lora_dropout": 0.0}
    whole = start(context, **settings, micro_batch_tokens=4_096).advance(3)
    parts = start(context, **settings, micro_batch_tokens=1).advance(3)
    for one, other in zip(whole.curve, parts.curve, strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.grad_norm == pytest.approx(other.grad_norm, rel=1e-4)


def test_the_loss_of_a_step_with_silence_is_divided_by_the_latents_in_the_batch(
    context: WorkerContext,
) -> None:
    longest = {"silence_before_s": 2.0, "silence_after_s": 2.0}
    augmentation = Augmentation(**longest)
    clips = context.voice_clips[:3]
    batch = context.collator.training(clips, 0, 0, augmentation)
    added = len(batch.targets) - sum(clip.patches for clip in clips)
    assert added == 3 * 30
    assert context.collator.added_patches(augmentation) * len(clips) == added
    assert start(context, **longest).advance(1).loss_train > 0


@pytest.mark.parametrize("name", ["silence_before_s", "silence_after_s"])
@pytest.mark.parametrize("seconds", [2.01, 2.2, 6.0])
def test_more_silence_than_the_shards_hold_is_refused_and_not_cut(
    context: WorkerContext, name: str, seconds: float
) -> None:
    with pytest.raises(ModelError, match=rf"{name}.*hold 2 s"):
        start(context, **{name: seconds})


def test_a_checkpoint_comes_back_and_holds_what_was_trained(
    context: WorkerContext, tmp_path: Path
) -> None:
    run = start(context, lora_connectors="full")
    run.advance(3)
    run.save(tmp_path / "trial")
    again, _, _ = load_checkpoint(context.base, tmp_path / "trial")
    assert context.validate(again.eval()) == pytest.approx(run.validate(), rel=1e-6)


def test_the_average_of_the_heads_leaves_the_rest_live(context: WorkerContext) -> None:
    live = start(context, lora_dropout=0.0)
    losses = [live.advance(6).loss_val]
    for parts in ("all", "heads"):
        run = start(context, ema_decay=0.99, ema_parts=parts, lora_dropout=0.0)
        losses.append(run.advance(6).loss_val)
    assert len(set(losses)) == 3
    with pytest.raises(ModelError, match="nothing of the heads is trained"):
        start(context, ema_decay=0.9, ema_parts="heads", lora_head="frozen")


@pytest.mark.parametrize(
    "changes", [{"gradient_checkpointing": True}, {"precision": "bf16"}, {"attention_dropout": 0.1}]
)
def test_ways_of_computing(context: WorkerContext, changes: dict[str, Any]) -> None:
    plain = start(context, lora_dropout=0.0).advance(2)
    other = start(context, lora_dropout=0.0, **changes).advance(2)
    tolerance = 0.1 if "attention_dropout" in changes else 0.02
    assert other.curve[0].loss == pytest.approx(plain.curve[0].loss, rel=tolerance)


# The released sizes: the 1.5B and the 7B checkpoint


def counts(size: str) -> tuple[VibeVoiceModel, dict[str, float]]:
    """Make the model on the meta device, and count the millions of parameters in each part."""
    with torch.device("meta"):
        made = VibeVoiceModel(released_config(size))
    millions = {}
    for name, child in made.named_children():
        millions[name] = sum(part.numel() for part in child.parameters()) / 1e6
    return made, millions


def test_the_released_sizes() -> None:
    _, small = counts("1.5B")
    assert small["language_model"] == pytest.approx(1_544, abs=1)
    assert small["diffusion_head"] == pytest.approx(123, abs=1)
    assert small["multi_modal_projector"] + small["semantic_connector"] == pytest.approx(5, abs=0.5)
    assert "lm_head" not in small
    _, large = counts("7B")
    assert large["language_model"] == pytest.approx(7_616 - 152_064 * 3_584 / 1e6, abs=2)
    assert large["lm_head"] == pytest.approx(152_064 * 3_584 / 1e6, abs=1)


def test_lora_of_the_released_size_trains_little() -> None:
    made, _ = counts("1.5B")
    with torch.device("meta"):
        settings = TrialSettings(lora_rank=8, lora_head="full")
        adapted = for_trial(made.requires_grad_(False), settings)
    trained, total = trained_parameters(adapted)
    head = sum(part.numel() for part in made.diffusion_head.parameters())
    # Seven projections of 28 layers: rank x (in + out) each
    wanted = 28 * 8 * (2 * 1_536 * 2 + 2 * (1_536 + 256) + 3 * (1_536 + 8_960))
    assert trained == wanted + head
    assert total < 1.7e9

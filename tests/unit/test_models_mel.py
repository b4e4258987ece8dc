"""The family ``mel``: the shared case, and what is its own."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny
from tests.unit.speech_model_case import SpeechModelTestCase
from vibesweep.config import MelSettings
from vibesweep.corpus.manifest import ShardRow, read_manifest
from vibesweep.corpus.phonemes import BOS, PATCH, SPEAKER_0, SPEECH
from vibesweep.errors import ShardsError, SpeechError
from vibesweep.models.base import SpeechModel
from vibesweep.models.mel import MelModel, MelShape
from vibesweep.models.mel_batch import MelBatch, PromptBank
from vibesweep.models.mel_speak import SpeakingSettings, speak


class TestMel(SpeechModelTestCase):
    """The shared case on a tiny model."""

    def base(self) -> SpeechModel:
        return tiny.model()

    def rows(self) -> list[ShardRow]:
        return tiny.rows(12)

    def conditions(self, model: SpeechModel, batch: object) -> torch.Tensor:
        assert isinstance(model, MelModel)
        assert isinstance(batch, MelBatch)
        return model.states(batch)[batch.spoken - 1]

    def with_target_changed(self, batch: object, patch: int) -> object:
        assert isinstance(batch, MelBatch)
        inputs, targets = batch.inputs.clone(), batch.targets.clone()
        inputs[len(inputs) - len(targets) + patch :] += 1.0
        targets[patch:] += 1.0
        return batch._replace(inputs=inputs, targets=targets)


@pytest.mark.parametrize("objective", ["flow", "v"])
def test_a_sequence_is_prompts_then_text_then_speech(objective: str) -> None:
    base = tiny.model(MelShape(**{**vars(tiny.SHAPE), "objective": objective}))
    examples = [base.encode(row) for row in tiny.rows(12)]
    batch = base.collator(examples).validation(examples[:1])
    ids = batch.ids[0].tolist()
    speech = ids.index(SPEECH)
    assert ids[:2] == [BOS, SPEAKER_0]
    assert ids[2] == PATCH
    assert ids[speech + 1 :] == [PATCH] * examples[0].patches
    assert batch.spoken.tolist() == list(range(speech + 1, len(ids)))
    assert batch.ends.tolist() == [len(ids) - 1]
    assert len(batch.places) == len(batch.inputs) == ids.count(PATCH)


def test_a_voice_prompt_never_comes_from_the_clip_itself() -> None:
    base = tiny.model()
    examples = [base.encode(row) for row in tiny.rows(12)]
    batch = base.collator(examples).training(examples[:1], 0, 0)
    for epoch in range(50):
        drawn = base.collator(examples).training(examples[:1], 0, epoch)
        prompts = drawn.inputs[: len(drawn.inputs) - len(drawn.targets)]
        assert not any((latent == examples[0].latents).all(1).any() for latent in prompts)
    assert len(batch.inputs) >= len(batch.targets)


def test_a_person_with_one_clip_has_no_prompt_there() -> None:
    base = tiny.model()
    example = base.encode(tiny.rows(1)[0])
    bank = PromptBank([example], 15)
    assert bank.draw(example.people[0], example.id, np.random.default_rng(0)) is None


def test_shards_with_phonemes_or_mels_the_base_lacks_are_refused_at_once(tmp_path: Path) -> None:
    manifest = read_manifest(tiny.write_shards(tmp_path / "shards", 10))
    base = tiny.model()
    base.check_shards(manifest, "here")
    with pytest.raises(ShardsError, match="'zh:ong'"):
        base.check_shards(dataclasses.replace(manifest, symbols={"a": 1, "zh:ong": 2}), "here")
    with pytest.raises(ShardsError, match="hop_samples=256"):
        base.check_shards(dataclasses.replace(manifest, mel=MelSettings(hop_samples=256)), "here")


def test_speaking_ends_by_the_stop_head_or_at_the_limit_and_is_seeded() -> None:
    base = tiny.model()
    prompt = torch.zeros(5, tiny.SHAPE.latent_size)
    said = [(0, base.phonemes.encode("abc"))]
    unwilling = speak(base, said, [prompt], SpeakingSettings(stop_threshold=1.1, patches_per_phoneme_limit=4))
    assert unwilling.shape == (13, tiny.SHAPE.latent_size)
    assert torch.equal(unwilling, speak(base, said, [prompt], SpeakingSettings(stop_threshold=1.1, patches_per_phoneme_limit=4)))
    assert len(speak(base, said, [prompt], SpeakingSettings(stop_threshold=-1.0))) == 1


def test_generation_with_a_cache_sees_what_training_sees() -> None:
    base = tiny.model()
    examples = [base.encode(row) for row in tiny.rows(12)]
    batch = base.collator(examples).validation(examples[:1])
    conditions = base.states(batch)[batch.spoken - 1]
    embedded = base.embed(batch.ids, batch.inputs, batch.places)
    first = int(batch.spoken[0])
    read = base.backbone(inputs_embeds=embedded[:, :first], use_cache=True)
    stepwise = [read.last_hidden_state[:, -1]]
    for position in range(first, embedded.shape[1] - 1):
        one = embedded[:, position : position + 1]
        read = base.backbone(inputs_embeds=one, past_key_values=read.past_key_values, use_cache=True)
        stepwise.append(read.last_hidden_state[:, -1])
    assert torch.allclose(torch.cat(stepwise), conditions, atol=1e-5)


def test_a_text_longer_than_the_context_is_told_so() -> None:
    base = tiny.model()
    with pytest.raises(SpeechError, match="256 positions"):
        speak(base, [(0, base.phonemes.encode("abcdefg" * 40))], [None], SpeakingSettings())

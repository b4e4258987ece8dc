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
from vibesweep.corpus.shards.manifest import Manifest, read_manifest
from vibesweep.corpus.shards.schema import Clip, VoicePrompt
from vibesweep.corpus.text.phoneme_table import BOS, PATCH, SPEAKER_0, SPEECH
from vibesweep.errors import ShardsError, SpeechError
from vibesweep.models.clips import Augmentation, EncodedClip
from vibesweep.models.draws import LONGEST_SPAN_PATCHES, keep_mask
from vibesweep.models.family import SpeakingSettings
from vibesweep.models.mel import speech
from vibesweep.models.mel.batch import MelBatch
from vibesweep.models.mel.encoder import MEL, PHONEMES
from vibesweep.models.mel.family import MelFamily
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.shape import MelShape
from vibesweep.models.mel.speech import sample_latents
from vibesweep.models.prompts import PromptBank, stretches
from vibesweep.models.speech_model import SpeechModel


class TestMel(SpeechModelTestCase):
    """The shared case on a tiny model."""

    def base(self) -> SpeechModel:
        return tiny.model()

    def clips(self) -> list[Clip]:
        return tiny.clips(12)

    def conditions(self, model: SpeechModel, batch: object) -> torch.Tensor:
        assert isinstance(model, MelModel)
        assert isinstance(batch, MelBatch)
        return model.states(batch)[batch.spoken_indices - 1]

    def with_target_changed(self, batch: object, patch: int) -> object:
        assert isinstance(batch, MelBatch)
        inputs, targets = batch.inputs.clone(), batch.targets.clone()
        inputs[len(inputs) - len(targets) + patch :] += 1.0
        targets[patch:] += 1.0
        return batch._replace(inputs=inputs, targets=targets)


@pytest.mark.parametrize("objective", ["flow", "v"])
def test_a_sequence_is_prompts_then_text_then_speech(objective: str) -> None:
    base = tiny.model(MelShape(**{**vars(tiny.SHAPE), "objective": objective}))
    encoded = [base.encode(clip) for clip in tiny.clips(12)]
    batch = base.collator(encoded).validation(encoded[:1], 4)
    ids = batch.ids[0].tolist()
    speech = ids.index(SPEECH)
    assert ids[:2] == [BOS, SPEAKER_0]
    assert ids[2] == PATCH
    assert ids[speech + 1 :] == [PATCH] * encoded[0].patches
    assert batch.spoken_indices.tolist() == list(range(speech + 1, len(ids)))
    assert batch.last_indices.tolist() == [len(ids) - 1]
    assert len(batch.input_indices) == len(batch.inputs) == ids.count(PATCH)


def test_a_voice_prompt_never_comes_from_the_clip_itself() -> None:
    base = tiny.model()
    clip, *others = [base.encode(made) for made in tiny.clips(12)]
    collator = base.collator([clip, *others])
    drawn = [collator.training([clip], 0, epoch) for epoch in range(50)]
    prompts = torch.cat([batch.inputs[: -len(batch.targets)] for batch in drawn])
    assert len(prompts) >= 50, "a test of no prompts would show nothing"
    same_people = [other for other in others if set(other.people) & set(clip.people)]
    elsewhere = torch.cat([other.latents for other in same_people])
    own_distances = torch.cdist(prompts, clip.latents, compute_mode="donot_use_mm_for_euclid_dist")
    distances = torch.cdist(prompts, elsewhere, compute_mode="donot_use_mm_for_euclid_dist")
    assert own_distances.min() > 0
    assert distances.min(1).values.eq(0).all(), "each latent is one of the same people's"


def test_a_twin_of_a_clip_under_another_id_is_never_its_voice_prompt() -> None:
    base = tiny.model()
    first = dataclasses.replace(tiny.clips(1)[0], samples_hash="a1")
    twin = dataclasses.replace(first, id="twin")
    other = dataclasses.replace(tiny.clips(4)[3], samples_hash="b2", turns=first.turns)
    clip, copied, another = [base.encode(made) for made in (first, twin, other)]
    rng = np.random.default_rng(0)
    assert PromptBank([clip, copied], 15).draw(clip, 0, rng) is None
    bank = PromptBank([clip, copied, another], 100)
    start, end = another.stretches[0][1:]
    for _ in range(20):
        prompt = bank.draw(copied, 0, rng)
        assert prompt is not None
        assert torch.equal(prompt, another.latents[start:end])


def test_a_person_with_one_clip_has_no_prompt_there() -> None:
    base = tiny.model()
    clip = base.encode(tiny.clips(1)[0])
    bank = PromptBank([clip], 15)
    assert bank.draw(clip, 0, np.random.default_rng(0)) is None


def test_a_prompt_is_taken_from_where_its_person_surely_speaks() -> None:
    turns = tiny.clips(1)[0].turns
    first, second = turns[0].speaker, turns[1].speaker
    timed = [
        dataclasses.replace(turn, start_s=4.0 * number, end_s=4.0 * number + 4.0)
        for number, turn in enumerate(turns)
    ]
    assert stretches(timed, (first, second), 7.5, 60) == ((0, 0, 30), (1, 30, 60))
    guessed = [dataclasses.replace(turn, timed=False) for turn in timed]
    found = stretches(guessed, (first, second), 7.5, 60)
    assert found == ((0, 8, 22), (1, 38, 52)), "half a turn's length is left out"
    alone = [dataclasses.replace(turn, speaker=first) for turn in guessed]
    found = stretches(alone, (first,), 7.5, 59)
    assert found == ((0, 0, 30), (0, 30, 59)), "nobody else is in the clip"


def test_a_voice_of_a_bundle_is_where_its_person_pauses_least() -> None:
    base = tiny.model()
    size = base.shape.prompt_patches
    loud = base.codec.encode(torch.from_numpy(tiny.mel_of(tiny.clips(1)[0]).astype(np.float32)))
    loud = loud[:1].expand(size, -1)
    quiet_mel = base.codec.decode(loud) - 3.0
    quiet = base.codec.encode(quiet_mel)
    latents = torch.cat([quiet, loud, quiet])
    longest = EncodedClip("long", ("Anna",), ((0, (1,)),), latents, ((0, 0, 3 * size),))
    short = dataclasses.replace(longest, id="short", stretches=((0, size, 2 * size - 1),))
    voices = base.voice_prompts([short, longest])
    assert torch.equal(voices["Anna"], loud), "of a prompt's length, and loud all through"
    voices = base.voice_prompts([short])
    assert len(voices["Anna"]) == size - 1, "who never speaks for so long has what there is"


def test_a_voice_prompt_that_the_corpus_names_is_taken() -> None:
    base = tiny.model()
    clip, other, *_ = tiny.clips(4)
    named = VoicePrompt(clip.turns[1].speaker, {MEL: other.columns[MEL]})
    encoded = base.encode(dataclasses.replace(clip, voice_prompts=(named,)))
    bank = PromptBank([encoded], 15)
    prompt = bank.draw(encoded, 1, np.random.default_rng(0))
    assert prompt is not None
    latents = base.codec.encode(torch.from_numpy(tiny.mel_of(other).astype(np.float32)))
    windows = latents.unfold(0, len(prompt), 1).transpose(1, 2)
    assert any(torch.equal(prompt, window) for window in windows)
    of_another = bank.draw(encoded, 0, np.random.default_rng(0))
    assert of_another is None, "the prompt is for its own speaker alone"


def test_shards_with_phonemes_or_mels_the_base_lacks_are_refused_at_once(tmp_path: Path) -> None:
    manifest = read_manifest(tiny.write_shards(tmp_path / "shards", 10))
    described = tiny.model().describe()
    family = MelFamily()
    assert family.check_columns(described, manifest, "here") is None
    with pytest.raises(ShardsError, match=r"'zh:ong' \(2\)"):
        family.check_columns(described, with_symbols(manifest, {"a": 1, "zh:ong": 2}), "here")
    other_hop = {"mel": dataclasses.asdict(MelSettings(hop_samples=256))}
    encoder = dataclasses.replace(manifest.encoder, settings=other_hop)
    with pytest.raises(ShardsError, match="hop_samples 256"):
        family.check_columns(described, dataclasses.replace(manifest, encoder=encoder), "here")


def test_shards_of_another_family_are_refused(tmp_path: Path) -> None:
    base = tiny.write_base(tmp_path / "base")
    manifest = read_manifest(tiny.write_shards(tmp_path / "shards", 10))
    encoder = dataclasses.replace(manifest.encoder, family="vibevoice")
    foreign = dataclasses.replace(manifest, encoder=encoder)
    with pytest.raises(ShardsError, match="made for the family vibevoice, not mel"):
        MelFamily().check_shards(str(base), foreign, "here")


def with_symbols(manifest: Manifest, symbols: dict[str, int]) -> Manifest:
    encoder = dataclasses.replace(manifest.encoder, counts={"symbols": symbols})
    return dataclasses.replace(manifest, encoder=encoder)


def test_an_odd_phoneme_that_the_base_lacks_is_named_and_left_out(tmp_path: Path) -> None:
    manifest = read_manifest(tiny.write_shards(tmp_path / "shards", 10))
    base = tiny.model()
    clip = tiny.clips(1)[0]
    odd = with_symbols(manifest, {"a": 1_000, "ʘ": 2})
    remark = MelFamily().check_columns(base.describe(), odd, "here")
    assert remark == "the model has no token for the phonemes 'ʘ' (2); they are left out"
    turn = dataclasses.replace(clip.turns[0], columns={PHONEMES: ["a", "ʘ", "b"]})
    encoded = base.encode(dataclasses.replace(clip, turns=(turn,)))
    assert encoded.turns == ((0, tuple(base.phonemes.encode("ab"))),)


def test_speaking_ends_by_the_stop_head_or_at_the_limit_and_is_seeded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speech, "PATCHES_PER_PHONEME", 4)
    settings = SpeakingSettings()
    base = tiny.model()
    prompt = torch.zeros(5, tiny.SHAPE.latent_size)
    said = [(0, base.phonemes.encode("abc"))]
    unwilling = sample_latents(base, said, [prompt], settings, stop_threshold=1.1)
    assert unwilling.latents.shape == (13, tiny.SHAPE.latent_size)
    again = sample_latents(base, said, [prompt], settings, stop_threshold=1.1)
    other_seed = sample_latents(base, said, [prompt], SpeakingSettings(seed=1), stop_threshold=1.1)
    assert torch.equal(unwilling.latents, again.latents)
    assert not torch.equal(unwilling.latents, other_seed.latents)
    willing = sample_latents(base, said, [prompt], settings, stop_threshold=-1.0)
    assert len(willing.latents) == 1
    assert (unwilling.cut, willing.cut) == (True, False)


def test_generation_with_a_cache_sees_what_training_sees() -> None:
    base = tiny.model()
    encoded = [base.encode(clip) for clip in tiny.clips(12)]
    batch = base.collator(encoded).validation(encoded[:1], 4)
    conditions = base.states(batch)[batch.spoken_indices - 1]
    embedded = base.embed(batch.ids, batch.inputs, batch.input_indices)
    first = int(batch.spoken_indices[0])
    read = base.backbone(inputs_embeds=embedded[:, :first], use_cache=True)
    stepwise = [read.last_hidden_state[:, -1]]
    for position in range(first, embedded.shape[1] - 1):
        one = embedded[:, position : position + 1]
        read = base.backbone(
            inputs_embeds=one, past_key_values=read.past_key_values, use_cache=True
        )
        stepwise.append(read.last_hidden_state[:, -1])
    assert torch.allclose(torch.cat(stepwise), conditions, atol=1e-5)


def test_a_text_longer_than_the_context_is_told_so() -> None:
    base = tiny.model()
    turn = (0, base.phonemes.encode("abcdefg" * 40))
    with pytest.raises(SpeechError, match="256 positions"):
        sample_latents(base, [turn], [None], SpeakingSettings())


@pytest.mark.parametrize(
    ("patches", "time_share", "dims_share", "patches_left", "dims_left"),
    [
        (1, 0.5, 0.0, 1, 8),
        (7, 0.3, 0.25, 5, 6),
        (40, 0.5, 0.0, 20, 8),
        (40, 0.0, 0.5, 40, 4),
        (30, 0.0, 0.0, 30, 8),
        (3, 0.99, 0.99, 0, 0),
    ],
)
def test_masks_hide_the_share_asked_for_in_time_and_in_dimensions(
    patches: int, time_share: float, dims_share: float, patches_left: int, dims_left: int
) -> None:
    augmentation = Augmentation(time_share, dims_share)
    for seed in range(20):
        kept = keep_mask(np.random.default_rng(seed), patches, 8, augmentation)
        in_time = kept.amax(1)
        in_dims = kept.amax(0)
        assert torch.equal(kept, torch.outer(in_time, in_dims)), "whole patches, whole dimensions"
        assert (int(in_time.sum()), int(in_dims.sum())) == (patches_left, dims_left)


def test_masks_hide_time_in_spans() -> None:
    kept = keep_mask(np.random.default_rng(0), 400, 2, Augmentation(0.2))[:, 0]
    edges = int((kept[1:] != kept[:-1]).sum())
    spans = edges / 2
    assert 80 / spans > 2, "hidden patches lie together; drawn one by one, spans would be 1.25 long"
    assert spans > 80 / 4 / LONGEST_SPAN_PATCHES, "and not in a few long pieces"


def test_a_masked_clip_differs_in_its_inputs_alone_and_whatever_batch_it_is_in() -> None:
    base = tiny.model()
    encoded = [base.encode(clip) for clip in tiny.clips(12)]
    collator = base.collator(encoded)
    augmentation = Augmentation(0.3, 0.25)
    plain = collator.training(encoded[:1], 5, 2, Augmentation())
    masked = collator.training(encoded[:1], 5, 2, augmentation)
    pairs = zip(plain._fields, plain, masked, strict=True)
    assert [name for name, a, b in pairs if not torch.equal(a, b)] == ["inputs"]
    prompts = len(plain.inputs) - len(plain.targets)
    same_prompts = torch.equal(plain.inputs[:prompts], masked.inputs[:prompts])
    assert same_prompts, "the voice prompts stay whole"
    speech = masked.inputs[prompts:]
    assert torch.equal(speech, plain.inputs[prompts:] * (speech != 0))
    together = collator.training(encoded[:3], 5, 2, augmentation)
    assert torch.equal(together.inputs[: len(masked.inputs)], masked.inputs)
    next_epoch = collator.training(encoded[:1], 5, 3, augmentation)
    assert not torch.equal(next_epoch.inputs, masked.inputs)

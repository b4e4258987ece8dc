"""The family ``vibevoice`` on a small checkpoint.

It passes the shared case, and equals transformers' own network and the formulas in NumPy.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import VibeVoiceForConditionalGeneration

from tests import vibe
from tests.checkpoint import write_checkpoint
from tests.unit.speech_model_case import SpeechModelTestCase
from vibesweep.config import TrialSettings
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.corpus.shards.schema import Clip, VoicePrompt
from vibesweep.errors import ShardsError
from vibesweep.models.adapters import for_trial
from vibesweep.models.clips import Augmentation, EncodedClip
from vibesweep.models.registry import ModelRef
from vibesweep.models.speech_model import SpeechModel
from vibesweep.models.vibevoice.batch import VibeVoiceBatch
from vibesweep.models.vibevoice.checkpoint import Checkpoint, transformers_name
from vibesweep.models.vibevoice.clips import EncodedVibeVoiceClip
from vibesweep.models.vibevoice.family import VibeVoiceFamily
from vibesweep.models.vibevoice.model import VibeVoiceModel


@pytest.fixture(scope="module", autouse=True)
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Write two checkpoints for all tests here; forget the models that were read from them."""
    for tied in (True, False):
        FOLDERS[tied] = write_checkpoint(tmp_path_factory.mktemp("checkpoint"), tied=tied)
    yield
    FOLDERS.clear()
    _loaded.cache_clear()


FOLDERS: dict[bool, Path] = {}


@cache
def _loaded(tied: bool) -> VibeVoiceModel:
    return VibeVoiceModel.from_checkpoint(Checkpoint.open(str(FOLDERS[tied])))


def model(tied: bool = True) -> VibeVoiceModel:
    return copy.deepcopy(_loaded(tied))


def encoded_clips(base: SpeechModel, count: int = 12) -> list[EncodedClip]:
    return [base.encode(clip) for clip in vibe.clips(count)]


def batch_of(base: SpeechModel, count: int = 2) -> VibeVoiceBatch:
    encoded = encoded_clips(base)
    batch = base.collator(encoded).validation(encoded[:count], 4)
    assert isinstance(batch, VibeVoiceBatch)
    return batch


class TestVibeVoice(SpeechModelTestCase):
    """The shared case."""

    def base(self) -> SpeechModel:
        return model()

    def clips(self) -> list[Clip]:
        return vibe.clips(12)

    def conditions(self, model: SpeechModel, batch: object) -> torch.Tensor:
        assert isinstance(model, VibeVoiceModel)
        assert isinstance(batch, VibeVoiceBatch)
        return model.states(batch)[batch.spoken_indices - 1]

    def with_target_changed(self, batch: object, patch: int) -> object:
        assert isinstance(batch, VibeVoiceBatch)
        inputs = batch.inputs.clone()
        targets = batch.targets.clone()
        semantic = batch.semantic.clone()
        inputs[batch.speech_rows[patch:]] += 1.0
        targets[patch:] += 1.0
        semantic[patch:] += 1.0
        return batch._replace(inputs=inputs, targets=targets, semantic=semantic)

    def saved_and_loaded(self, base: SpeechModel, folder: Path) -> SpeechModel:
        """Write the base by transformers' own class and read it again."""
        whole: Any = VibeVoiceForConditionalGeneration.from_pretrained(FOLDERS[True])
        whole.save_pretrained(folder)
        for file in FOLDERS[True].iterdir():
            if not (folder / file.name).exists():
                (folder / file.name).write_bytes(file.read_bytes())
        return VibeVoiceModel.from_checkpoint(Checkpoint.open(str(folder)))


@pytest.mark.parametrize("tied", [True, False])
def test_states_and_choices_are_those_of_transformers_network(tied: bool) -> None:
    ours = model(tied)
    theirs = VibeVoiceForConditionalGeneration.from_pretrained(FOLDERS[tied]).float().eval()
    batch = batch_of(ours, 1)
    inner: Any = theirs.model
    embeds = inner.get_input_embeddings()(batch.ids)
    spoken = torch.zeros(batch.ids.numel(), dtype=torch.bool)
    spoken = spoken.index_fill_(0, batch.spoken_indices, True).view_as(batch.ids)
    heard = (batch.ids == theirs.config.audio_token_id) & ~spoken
    voices = batch.inputs[: len(batch.inputs) - len(batch.targets)]
    embeds[heard] = inner.multi_modal_projector(voices)
    # As generate() feeds back what it has said: _sample adds both embeddings
    said = inner.multi_modal_projector(batch.targets)
    meant = inner.semantic_connector(batch.semantic)
    embeds[spoken] = said + meant
    states = inner(inputs_embeds=embeds).last_hidden_state.flatten(0, 1)
    assert torch.allclose(ours.states(batch), states, atol=1e-4)
    logits = theirs(inputs_embeds=embeds).logits.flatten(0, 1)
    log_probabilities = logits[:, ours.choices].double().log_softmax(-1)
    go_on = log_probabilities[batch.spoken_indices - 1][:, 1].sum().item()
    end = log_probabilities[batch.last_indices][:, 2].sum().item()
    close = log_probabilities[batch.last_indices + 1][:, 3].sum().item()
    assert ours(batch).stop.item() == pytest.approx(-(go_on + end + close), rel=1e-5)


def test_the_loss_equals_the_papers_formula_in_float64() -> None:
    made = model()
    batch = batch_of(made)
    losses = made(batch)
    states = made.states(batch).detach().double().numpy()
    grid = np.cos((np.arange(1001) / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2
    shares = np.cumprod(1 - np.minimum(1 - grid[1:] / grid[:-1], 0.999))
    repeats = len(batch.noise) // len(batch.targets)
    noise = batch.noise.double().numpy()
    targets = batch.targets.double().numpy()
    total = 0.0
    for number in range(len(noise)):
        latent = targets[number // repeats]
        position = int(batch.spoken_indices[number // repeats])
        step = int(float(batch.levels[number]) * 1000)
        signal = math.sqrt(shares[step])
        spread = math.sqrt(1 - shares[step])
        noisy = signal * latent + spread * noise[number]
        wanted = signal * noise[number] - spread * latent
        predicted = _head(made, noisy, step, states[position - 1])
        total += float(np.mean((predicted - wanted) ** 2))
    assert losses.diffusion.item() == pytest.approx(total / repeats, rel=1e-4)


def _head(made: VibeVoiceModel, noisy: Any, step: int, condition: Any) -> Any:
    """Compute the diffusion head in NumPy.

    It has AdaLN layers on the condition plus the embedded time (Peng et al. 2025, section 2.2).
    """
    config = made.config.diffusion_head_config
    parameters = made.diffusion_head.named_parameters()
    weights = {name: part.detach().double().numpy() for name, part in parameters}

    def silu(x: Any) -> Any:
        return x / (1 + np.exp(-x))

    def rms(x: Any, gain: Any = 1.0) -> Any:
        return gain * x / np.sqrt(np.mean(x**2) + config.rms_norm_eps)

    half = config.frequency_embedding_size // 2
    angles = step * np.exp(-math.log(10_000) * np.arange(half) / half)
    waves = np.concatenate([np.cos(angles), np.sin(angles)])
    time_hidden = silu(weights["timestep_proj.fc1.weight"] @ waves)
    time = weights["timestep_proj.fc2.weight"] @ time_hidden
    guide = silu(weights["cond_proj.weight"] @ condition + time)
    hidden = weights["noisy_images_proj.weight"] @ noisy
    for number in range(config.num_hidden_layers):
        layer = f"layers.{number}."
        shift, scale, gate = np.split(weights[layer + "linear.weight"] @ guide, 3)
        inner = rms(hidden, weights[layer + "norm.weight"]) * (1 + scale) + shift
        ffn_gate = silu(weights[layer + "ffn.gate_proj.weight"] @ inner)
        ffn_up = weights[layer + "ffn.up_proj.weight"] @ inner
        ffn = weights[layer + "ffn.down_proj.weight"] @ (ffn_gate * ffn_up)
        hidden = hidden + gate * ffn
    shift, scale = np.split(weights["final_layer.linear_1.weight"] @ guide, 2)
    return weights["final_layer.linear_2.weight"] @ (rms(hidden) * (1 + scale) + shift)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(
    "changes",
    [
        {"method": "full"},
        {"method": "freeze", "freeze_layers": 1},
        {"lora_head": "full", "lora_connectors": "full"},
        {"lora_head": "frozen", "lora_connectors": "frozen"},
        {"lora_targets": r".*(q_proj|linear_[12]|cond_proj)", "lora_dropout": 0.0},
    ],
)
def test_every_trained_parameter_gets_a_gradient(tied: bool, changes: dict[str, Any]) -> None:
    base = model(tied)
    trained = for_trial(base, TrialSettings(**changes)).train()
    torch.manual_seed(0)
    for name, part in trained.named_parameters():
        if "lora_B" in name:  # zero at first, which lets nothing through to A
            torch.nn.init.normal_(part, std=0.1)
    encoded = encoded_clips(base)
    losses = trained(base.collator(encoded).training(encoded[:3], 0, 0))
    torch.autograd.backward(losses.diffusion + losses.stop)
    for name, part in trained.named_parameters():
        if part.requires_grad:
            assert part.grad is not None, name
            assert part.grad.any(), name
        else:
            assert part.grad is None, name


def test_heads_and_connectors_are_trained_as_asked() -> None:
    base = model()

    def parts(**changes: Any) -> set[str]:
        made = for_trial(base, TrialSettings(**changes))
        trained = [name for name, part in made.named_parameters() if part.requires_grad]
        return {name.split(".")[2] for name in trained if "lora" not in name}

    assert not parts(lora_head="lora")
    assert parts(lora_head="full") == {"diffusion_head"}
    assert parts(lora_connectors="full") == {"multi_modal_projector", "semantic_connector"}


def test_a_sequence_is_the_checkpoints_template_with_the_speech_behind_it() -> None:
    base = model()
    encoded = encoded_clips(base)
    clip = encoded[0]
    batch = base.collator(encoded).validation([clip], 4)
    ids = batch.ids[0].tolist()
    special = base.special
    prompts = len(batch.inputs) - len(batch.targets)
    assert prompts > 0
    assert ids[-1] == special.end
    assert ids[-1 - clip.patches : -1] == [special.latent] * clip.patches
    assert ids.count(special.begin) == 1 + len(clip.people)
    assert ids.count(special.latent) == clip.patches + prompts
    said = base.layout._tokenizer.decode([token for token in ids if token != special.latent])
    task = " Transform the text provided by various speakers into speech output, utilizing"
    assert said.startswith(task)
    voices_and_text = (
        " Voice input:\n Speaker 0:<|vision_start|><|vision_end|>\n"
        " Speaker 1:<|vision_start|><|vision_end|>\n Text input:\n Speaker 0: "
    )
    assert voices_and_text in said
    assert said.endswith("\n Speech output:\n<|vision_start|><|vision_end|>")
    assert isinstance(clip, EncodedVibeVoiceClip)
    tokens = batch.ids.shape[1] - 1
    assert clip.length >= tokens, "batches are cut by no less than what they take"


def test_control_tokens_in_a_transcript_are_text() -> None:
    base = model()
    clip = vibe.clips(1)[0]
    turns = [dataclasses.replace(turn, text="Say <|vision_pad|> now.") for turn in clip.turns]
    odd = base.encode(dataclasses.replace(clip, turns=tuple(turns)))
    plain = base.encode(clip)
    assert isinstance(odd, EncodedVibeVoiceClip)
    assert isinstance(plain, EncodedVibeVoiceClip)
    latent = base.layout._special.latent
    assert odd.bare_ids.count(latent) == plain.bare_ids.count(latent) == 0
    assert odd.voiced_ids.count(latent) == plain.voiced_ids.count(latent) == 2
    assert base.layout._tokenizer.decode(odd.bare_ids).count("Say <|vision_pad|> now.") == 2


def test_voice_prompts_are_anothers_clip_or_the_corpus_own_and_are_dropped_as_asked() -> None:
    base = model()
    encoded = encoded_clips(base)
    collator = base.collator(encoded)
    first = encoded[0]

    def prompts(drop: float, epoch: int, clip: EncodedClip = first) -> torch.Tensor:
        batch = collator.training([clip], 0, epoch, Augmentation(prompt_drop=drop))
        return batch.inputs[: len(batch.inputs) - len(batch.targets)]

    assert not any(len(prompts(1.0, epoch)) for epoch in range(20))
    assert all(len(prompts(0.0, epoch)) for epoch in range(20))
    mean = base.rules.scaled(first.latents)
    quiet = dataclasses.replace(base.rules, vae_std=0.0)
    collator._rules = quiet  # without the σ-VAE's noise a latent of the clip itself would be seen
    for epoch in range(50):
        assert not any((latent == mean).all(1).any() for latent in prompts(0.0, epoch))
    clip = vibe.clips(1)[0]
    sound = {"acoustic": np.full(3 * 64, 7.0, np.float16)}
    named = (VoicePrompt("p0", sound), VoicePrompt("q0", sound))
    given = base.encode(dataclasses.replace(clip, voice_prompts=named))
    assert torch.equal(prompts(0.0, 0, given), quiet.scaled(torch.full((6, 64), 7.0)))


def test_the_vaes_noise_is_an_items_own_and_validation_has_none() -> None:
    base = model()
    encoded = encoded_clips(base)
    collator = base.collator(encoded)
    clip = encoded[0]
    rules = base.rules
    assert rules.scale == pytest.approx(0.2, rel=1e-2)
    mean = rules.scaled(clip.latents)
    spreads = []
    for epoch in range(400):
        batch = collator.training([clip], 0, epoch, Augmentation(prompt_drop=1.0))
        assert torch.equal(batch.inputs, batch.targets), "what is fed back is what was to be said"
        noise = (batch.targets - mean) / rules.scale
        spreads.append(float(noise.std()))
    assert np.sqrt(np.mean(np.square(spreads))) == pytest.approx(0.625, rel=0.1)
    assert np.std(spreads) > 0.2, "the spread is drawn anew for each item"
    assert torch.equal(collator.validation([clip], 4).targets, mean)


def test_silence_before_and_after_is_spoken_too(tmp_path: Path) -> None:
    base = model()
    base.take_from(vibe.write_shards(tmp_path / "shards", FOLDERS[True]))
    encoded = encoded_clips(base)
    clip = encoded[0]
    wanted = Augmentation(prompt_drop=1.0, silence_before_s=0.4, silence_after_s=0.8)
    batch = base.collator(encoded).training([clip], 0, 0, wanted)
    assert wanted.silence_patches == 3 + 6
    assert len(batch.targets) == clip.patches + 9
    assert len(batch.semantic) == len(batch.spoken_indices) == len(batch.targets)
    assert not batch.semantic[:3].any()
    assert not batch.semantic[-6:].any()
    assert batch.semantic[3:-6].any()
    assert math.isfinite(base(batch).diffusion.item())


def test_a_checkpoint_that_never_saw_its_latents_takes_their_scale_from_the_shards(
    tmp_path: Path,
) -> None:
    bare = write_checkpoint(tmp_path / "bare", scale=None)
    base = VibeVoiceModel.from_checkpoint(Checkpoint.open(str(bare)))
    assert base.rules.scale == 1.0
    base.take_from(vibe.write_shards(tmp_path / "shards", bare, 60))
    encoded = encoded_clips(base, 60)
    collator = base.collator(encoded)
    batches = [collator.training(encoded, 0, epoch) for epoch in range(8)]
    latents = torch.cat([batch.targets for batch in batches])
    assert latents.mean().item() == pytest.approx(0.0, abs=0.05)
    assert latents.std().item() == pytest.approx(1.0, abs=0.05)


def test_shards_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    folder = FOLDERS[True]

    def check(shards: Path) -> None:
        VibeVoiceFamily().check_shards(str(folder), read_manifest(shards), str(shards))

    check(vibe.write_shards(tmp_path / "good", folder))
    other = write_checkpoint(tmp_path / "other", seed=1)
    with pytest.raises(ShardsError, match="made by other encoders"):
        check(vibe.write_shards(tmp_path / "others", other))
    clip = vibe.clips(1)[0]
    turns = [dataclasses.replace(clip.turns[0], speaker=f"p{number}") for number in range(5)]
    crowd = dataclasses.replace(clip, turns=tuple(turns))
    with pytest.raises(ShardsError, match="5 speakers in clip000; VibeVoice takes 4"):
        check(vibe.write_shards(tmp_path / "crowd", folder, made=[crowd, *vibe.clips(6)[1:]]))
    long = dataclasses.replace(clip, tokens=5_000)
    with pytest.raises(ShardsError, match=r"context holds 4096.*max-duration"):
        check(vibe.write_shards(tmp_path / "long", folder, made=[long, *vibe.clips(6)[1:]]))


def test_names_are_transformers_own() -> None:
    made = model(tied=False)
    known = Checkpoint.open(str(FOLDERS[False])).files.keys()
    ours = {transformers_name(name) for name, _ in made.named_parameters()}
    assert ours <= known
    encoders = ("model.audio_tower", "model.semantic_tokenizer")
    others = {name for name in known - ours if not name.startswith(encoders)}
    assert others == {"model.latent_scaling_factor", "model.latent_bias_factor"}
    named = ModelRef.parse(f"vibevoice:{FOLDERS[False]}")
    assert str(named.located()) == f"vibevoice:{FOLDERS[False].resolve()}"
    assert ModelRef.parse(str(FOLDERS[False])) == named

"""Speaking with a VibeVoice folder.

A random model's speech is noise, but it is written, seeded and ended like that of a real one.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import psutil
import pytest
import soundfile
import torch
from transformers import VibeVoiceForConditionalGeneration, VibeVoiceProcessor

from tests.checkpoint import write_checkpoint
from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.text.turns import parse_turns
from vibesweep.delivery.synthesize import synthesize
from vibesweep.errors import ModelError, ResourceError, SpeechError, StorageError
from vibesweep.models.family import SpeakingSettings, Speech
from vibesweep.models.registry import ModelRef
from vibesweep.models.vibevoice import speech as vibevoice_speech
from vibesweep.models.vibevoice.speech import LEAST_LIMIT

BRIEF = SpeakingSettings(diffusion_steps=2, guidance=1.3)
HOP = 3_200
TWO = "[SPEAKER_A] Hello. [SPEAKER_B] Good morning, how are you?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("speech") / "model", tied=False)


def with_one_choice(folder: Path, **ids: int) -> Path:
    """Write a checkpoint that always chooses the smallest of the token ids that it may choose."""
    write_checkpoint(folder, tied=False)
    model = VibeVoiceForConditionalGeneration.from_pretrained(folder, dtype="auto")
    torch.nn.init.zeros_(model.lm_head.weight)
    for name, value in ids.items():
        setattr(model.config, name, value)
    model.save_pretrained(folder)
    return folder


def wav_of(path: Path) -> npt.NDArray[np.float64]:
    samples, rate_hz = soundfile.read(path)
    assert rate_hz == 24_000
    assert samples.ndim == 1
    return samples  # type: ignore[no-any-return]


def recording(path: Path, seconds: float, rate_hz: int = 16_000) -> str:
    samples = np.random.default_rng(1).normal(0, 0.1, round(seconds * rate_hz))
    soundfile.write(path, samples, rate_hz)
    return str(path)


def test_it_speaks_and_says_how_long(
    folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "x.wav"
    speech = synthesize(ModelRef.parse(str(folder)), TWO, out, settings=BRIEF)
    samples = wav_of(out)
    assert len(samples) % HOP == 0
    assert speech == Speech(len(samples) / 24_000, {})
    assert np.abs(samples).max() > 0
    assert capfd.readouterr() == ("", "")  # no bars and warnings of transformers


def test_the_seed_alone_decides_the_noise(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(7)
    state = torch.get_rng_state()
    model = ModelRef.parse(str(folder))
    spoken = []
    for seed in (0, 0, 1):
        settings = dataclasses.replace(BRIEF, seed=seed)
        synthesize(model, TWO, tmp_path / "x.wav", settings=settings)
        spoken.append((tmp_path / "x.wav").read_bytes())
    first, second, third = spoken
    assert first == second != third
    assert torch.equal(torch.get_rng_state(), state), "the caller's own noise is untouched"


@pytest.mark.parametrize("changed", [{"guidance": 3.0}, {"diffusion_steps": 5}])
def test_guidance_and_steps_matter(folder: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    model = ModelRef.parse(str(folder))
    other = dataclasses.replace(BRIEF, **changed)
    synthesize(model, TWO, tmp_path / "a.wav", settings=BRIEF)
    synthesize(model, TWO, tmp_path / "b.wav", settings=other)
    assert (tmp_path / "a.wav").read_bytes() != (tmp_path / "b.wav").read_bytes()


def test_voices_come_from_recordings_of_any_rate(folder: Path, tmp_path: Path) -> None:
    voice = recording(tmp_path / "ann.wav", 1.0)
    model = ModelRef.parse(str(folder))
    speech = synthesize(model, TWO, tmp_path / "x.wav", voices=[voice], settings=BRIEF)
    assert speech.voices == {"SPEAKER_A": voice}
    synthesize(model, TWO, tmp_path / "y.wav", settings=BRIEF)
    assert (tmp_path / "x.wav").read_bytes() != (tmp_path / "y.wav").read_bytes()


def test_a_script_of_four_is_rendered_as_the_checkpoints_were_trained(folder: Path) -> None:
    processor = VibeVoiceProcessor.from_pretrained(folder)
    turns = [
        Turn("B", "One."),
        Turn("A", "Two."),
        Turn("B", "Three."),
        Turn("D", "Four."),
        Turn("C", "Five."),
    ]
    prompts = {"B": np.full(HOP, 0.1, np.float32), "A": np.full(HOP + 1, 0.1, np.float32)}
    inputs, words = vibevoice_speech._inputs(processor, turns, ["B", "A", "D", "C"], prompts)
    rendered = processor.tokenizer.decode(inputs["input_ids"][0])
    _, _, script = rendered.partition("respective speaker.\n")
    assert script == (
        " Voice input:\n Speaker 0:<|vision_start|><|vision_pad|><|vision_end|>\n"
        " Speaker 1:<|vision_start|><|vision_pad|><|vision_pad|><|vision_end|>\n"
        " Text input:\n Speaker 0: One.\n Speaker 1: Two.\n Speaker 0: Three.\n"
        " Speaker 2: Four.\n Speaker 3: Five.\n"
        " Speech output:\n<|vision_start|>"
    )
    assert words == sum(len(processor.tokenizer(turn.text)["input_ids"]) for turn in turns)


def test_speakers_are_numbered_as_trained_whatever_the_corpus_calls_them(folder: Path) -> None:
    processor = VibeVoiceProcessor.from_pretrained(folder)
    scripts = set()
    for text in (
        "Speaker 0: One.\nSpeaker 1: Two.",
        "speaker 0: One.\nSPEAKER 1: Two.",
        "speaker_3 : One. Speaker2: Two.",
        "[Speaker 1] One. [speaker 2]: Two.",
        "SPEAKER_00: One.\nSPEAKER_01: Two.",
    ):
        turns = parse_turns(text).turns
        tags = list(dict.fromkeys(turn.tag for turn in turns))
        inputs, _ = vibevoice_speech._inputs(processor, turns, tags, {})
        scripts.add(processor.tokenizer.decode(inputs["input_ids"][0]))
    (script,) = scripts
    assert " Text input:\n Speaker 0: One.\n Speaker 1: Two.\n Speech output:\n" in script


def test_a_model_that_never_stops_is_cut(tmp_path: Path) -> None:
    folder = with_one_choice(tmp_path / "endless", audio_token_id=0)
    speech = synthesize(ModelRef.parse(str(folder)), "A", tmp_path / "x.wav", settings=BRIEF)
    assert speech.cut
    assert len(wav_of(tmp_path / "x.wav")) == round(speech.seconds * 24_000) == LEAST_LIMIT * HOP


def test_a_model_that_says_nothing_leaves_no_file(tmp_path: Path) -> None:
    folder = with_one_choice(tmp_path / "mute")
    with pytest.raises(SpeechError, match="said nothing"):
        synthesize(ModelRef.parse(str(folder)), "A.", tmp_path / "x.wav", settings=BRIEF)
    assert not (tmp_path / "x.wav").exists()


def test_all_sound_that_was_decoded_is_in_the_file_at_the_end(folder: Path, tmp_path: Path) -> None:
    model: Any = VibeVoiceForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    with torch.inference_mode(), vibevoice_speech._writing(model, tmp_path / "x.wav", 24_000):
        for _ in range(2):
            model.model.audio_tower.decode(torch.zeros(1, 1, 64))
            assert not (tmp_path / "x.wav").exists(), "nothing is half-written"
    with torch.inference_mode():
        model.model.audio_tower.decode(torch.zeros(1, 1, 64))
    assert len(wav_of(tmp_path / "x.wav")) == 2 * HOP


def test_the_choice_to_stop_is_not_guided(tmp_path: Path) -> None:
    folder = with_one_choice(tmp_path / "endless", audio_token_id=0)
    processor = VibeVoiceProcessor.from_pretrained(folder)
    chat: Any = [{"role": "0", "content": [{"type": "text", "text": "Hello."}]}]
    script = processor.apply_chat_template(chat, tokenize=False)
    inputs = processor(text=[script], return_tensors="pt")

    def passes(kind: Any) -> int:
        """Count the language model's passes in speaking four latents."""
        model = kind.from_pretrained(folder)
        outputs: list[object] = []
        backbone = model.model.language_model
        backbone.register_forward_hook(lambda _, __, output: outputs.append(None))
        model.generate(**inputs, max_new_tokens=4, guidance_scale=1.3, num_diffusion_steps=1)
        return len(outputs)

    # Each latent takes the script's pass and the diffusion's unguided one
    assert passes(vibevoice_speech._Speaker) == 2 * 4
    theirs = passes(VibeVoiceForConditionalGeneration)
    assert theirs == 3 * 4, "transformers does as it did when this was written"


@pytest.mark.parametrize(
    ("text", "voices", "found"),
    [
        ("  ", [], "the text is empty"),
        ("\n".join(f"[SPEAKER_{tag}] Hello." for tag in "ABCDE"), [], "5 speakers"),
        ("Hello.", ["nobody.wav"], "no such file"),
        ("Hello.", ["text.wav"], "the voice cannot be used"),
        ("Hello.", ["a.wav", "a.wav"], "2 voices for 1 speakers"),
        ("Hello there. " * 2_000, [], "leave no room"),
        ("Say <|vision_pad|> now.", [], r"holds <\|vision_pad\|>, which is a control token"),
    ],
)
def test_what_cannot_be_spoken_is_named(
    folder: Path, tmp_path: Path, text: str, voices: list[str], found: str
) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    recording(tmp_path / "a.wav", 0.5)
    model = ModelRef.parse(str(folder))
    recordings = [str(tmp_path / voice) for voice in voices]
    with pytest.raises(SpeechError, match=found):
        synthesize(model, text, tmp_path / "x.wav", voices=recordings, settings=BRIEF)
    assert not (tmp_path / "x.wav").exists()


def test_a_place_that_cannot_be_written_to_is_named(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.wav").mkdir()
    with pytest.raises(StorageError, match=r"x\.wav"):
        synthesize(ModelRef.parse(str(folder)), "Hello.", tmp_path / "x.wav", settings=BRIEF)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_model_that_memory_does_not_hold_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    if device == "cuda":
        monkeypatch.setattr(vibevoice_speech._Speaker, "generate", full)
    else:
        monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1_000))
    found = "GPU's memory" if device == "cuda" else r"takes \d\.\d GB of memory"
    with pytest.raises(ResourceError, match=f"{found}.*vibesweep synthesize"):
        synthesize(ModelRef.parse(str(folder)), "Hello.", tmp_path / "x.wav", settings=BRIEF)


def test_without_diffusers_it_says_what_to_install(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "diffusers", None)
    with pytest.raises(ModelError, match="Pip install diffusers"):
        synthesize(ModelRef.parse(str(folder)), "Hello.", tmp_path / "x.wav", settings=BRIEF)


def test_the_default_guidance_is_the_familys(folder: Path, tmp_path: Path) -> None:
    model = ModelRef.parse(f"vibevoice:{folder}")
    spoken = []
    for guidance in (None, 1.3, 1.5):
        settings = dataclasses.replace(BRIEF, guidance=guidance)
        synthesize(model, "Hello.", tmp_path / "x.wav", settings=settings)
        spoken.append((tmp_path / "x.wav").read_bytes())
    assert spoken[0] == spoken[1] != spoken[2]

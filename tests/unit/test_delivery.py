"""Export and synthesize, on a tiny model and a sweep's folder written by hand: no ray."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import soundfile
import torch
from peft import PeftModel

from tests import tiny
from vibesweep.config import Sweep, TrialSettings
from vibesweep.corpus.shards.manifest import read_manifest, write_manifest
from vibesweep.corpus.sound.vocoder import griffin_lim
from vibesweep.delivery.export import export, speech_change_of
from vibesweep.delivery.sample import speak_sample
from vibesweep.delivery.synthesize import synthesize
from vibesweep.errors import ModelError, ShardsError, SpeechError, SweepError
from vibesweep.models.bundle import load_bundle, save_bundle
from vibesweep.models.family import SpeakingSettings
from vibesweep.models.mel import speech
from vibesweep.models.mel.encoder import COLUMNS
from vibesweep.models.mel.model import MelModel
from vibesweep.models.registry import ModelRef
from vibesweep.quality.listening import base_voice
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord, TrialState, sweep_as_json
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

BRIEF = SpeakingSettings(diffusion_steps=2)


@pytest.fixture(autouse=True)
def brief_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have untrained models, which never stop by themselves, speak briefly."""
    monkeypatch.setattr(speech, "PATCHES_PER_PHONEME", 1.0)


def write_sweep(root: Path, settings: TrialSettings) -> SweepFolder:
    """Train one trial and leave what a sweep leaves."""
    base = tiny.write_base(root / "base")
    shards = tiny.write_shards(root / "shards", 15)
    context = WorkerContext.open(ModelRef.parse(str(base)), shards, World())
    run = TrialRun(context, settings, 3)
    loss = run.advance(3).loss_val
    folder = SweepFolder(root / "sweep")
    run.save(folder.checkpoints / "t0")
    signature = read_manifest(shards).signature
    settings_of_sweep = sweep_as_json(Sweep(space={}, trials=1))
    record = SweepRecord("sweep", str(base), str(shards), signature, settings_of_sweep, 1, {})
    trial = TrialRecord(
        "t0", 0, {}, dataclasses.asdict(settings), TrialState.COMPLETE, best_loss_val=loss
    )
    folder.write(dataclasses.replace(record, trials=[trial]))
    return folder


@pytest.fixture(scope="module")
def lora_sweep(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """Make a sweep whose best trial is a LoRA one."""
    settings = TrialSettings(method="lora", learning_rate=1e-2, lora_rank=4, batch_clips=4)
    return write_sweep(tmp_path_factory.mktemp("lora"), settings)


def test_the_export_is_the_trained_model(lora_sweep: SweepFolder, tmp_path: Path) -> None:
    bundle = load_bundle(export(lora_sweep, tmp_path / "out"), MelModel)
    record, best, _ = lora_sweep.best_checkpoint()
    context = WorkerContext.open(ModelRef.parse(record.model), Path(record.shards), World())
    assert context.validate(bundle.model) == pytest.approx(best.best_loss_val, rel=1e-5)
    assert context.validate(context.base) != pytest.approx(best.best_loss_val, rel=1e-3)
    assert set(bundle.voices) == {person for clip in context.voice_clips for person in clip.people}
    assert json.loads((tmp_path / "out" / "provenance.json").read_text())["trial"]["id"] == "t0"


@pytest.mark.parametrize(("rate", "changes"), [(1e-2, True), (1e-12, False)])
def test_an_export_says_how_far_its_speech_is_from_the_bases(
    tmp_path: Path, rate: float, changes: bool
) -> None:
    settings = TrialSettings(method="lora", learning_rate=rate, lora_rank=4, batch_clips=4)
    change = speech_change_of(export(write_sweep(tmp_path, settings), tmp_path / "out"))
    assert change.share is not None
    assert (change.share > 1e-3) == changes
    assert ("next to nothing" in change.remark) != changes


def test_the_adapter_is_one_that_plain_peft_loads(lora_sweep: SweepFolder, tmp_path: Path) -> None:
    out = export(lora_sweep, tmp_path / "out")
    base = ModelRef.parse(lora_sweep.read().model).load()
    merged = ModelRef.parse(str(out)).load().state_dict()
    adapted = PeftModel.from_pretrained(base, str(out / "adapter")).merge_and_unload()
    assert isinstance(adapted, MelModel)
    for name, value in adapted.state_dict().items():
        assert torch.allclose(value, merged[name], atol=1e-6), name


def test_a_full_trial_has_no_adapter_and_an_export_may_be_repeated(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, TrialSettings(method="full", batch_clips=4))
    for _ in range(2):
        assert not (export(sweep, tmp_path / "out") / "adapter").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"base", "shards", "sweep", "out"}


def test_an_export_overwrites_nothing_but_an_export(
    lora_sweep: SweepFolder, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("three years of work")
    with pytest.raises(ModelError, match="is no bundle"):
        export(lora_sweep, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "three years of work"


def test_an_export_refuses_shards_that_have_changed(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, TrialSettings(batch_clips=4))
    sweep.write(dataclasses.replace(sweep.read(), shards_signature="other"))
    with pytest.raises(ShardsError, match="changed since the sweep"):
        export(sweep, tmp_path / "out")


def test_a_sweep_with_no_checkpoint_is_told_so(tmp_path: Path) -> None:
    sweep = write_sweep(tmp_path, TrialSettings(batch_clips=4))
    sweep.write(dataclasses.replace(sweep.read(), trials=[]))
    with pytest.raises(SweepError, match="no trial has a checkpoint"):
        export(sweep, tmp_path / "out")


@pytest.fixture(scope="module")
def speaker(tmp_path_factory: pytest.TempPathFactory) -> ModelRef:
    """Make a tiny model that knows the phonemes of "a cab"."""
    from vibesweep.corpus.text.phoneme_table import PhonemeTable
    from vibesweep.corpus.text.phonemes import phonemize

    readings = phonemize(["A cab.", "A bed, a cab."])
    table = PhonemeTable.fit([phonemes.symbols for phonemes in readings])
    model = MelModel(tiny.SHAPE, table, tiny.MEL_SETTINGS)
    model.codec.load_state_dict(tiny.model().codec.state_dict())
    voices = {name: torch.zeros(5, tiny.SHAPE.latent_size) for name in ("Ann", "Bo")}
    folder = tmp_path_factory.mktemp("speaker")
    save_bundle(model, voices, folder)
    return ModelRef.parse(str(folder))


def test_turns_on_one_line_are_spoken_by_the_voices_asked_for(
    speaker: ModelRef, tmp_path: Path
) -> None:
    text = "[SPEAKER_A] A cab. [SPEAKER_B] A bed."
    said = synthesize(speaker, text, tmp_path / "x.wav", voices=["Bo"], settings=BRIEF)
    assert said.voices == {"SPEAKER_A": "Bo", "SPEAKER_B": "Ann"}
    samples, rate_hz = soundfile.read(tmp_path / "x.wav")
    assert rate_hz == 24_000
    assert len(samples) == round(said.seconds * 24_000)
    assert np.isfinite(samples).all()


def test_a_speech_that_reaches_its_limit_is_said_to_be_cut(
    speaker: ModelRef, tmp_path: Path
) -> None:
    model = load_bundle(Path(speaker.address), MelModel).model
    for wanted in (True, False):
        sure = -100.0 if wanted else 100.0
        torch.nn.init.zeros_(cast(MelModel, model).stop.weight)
        cast(MelModel, model).stop.bias.copy_(torch.tensor([0.0, sure]))
        save_bundle(model, {"Ann": torch.zeros(5, tiny.SHAPE.latent_size)}, tmp_path / "bundle")
        bundle = ModelRef.parse(str(tmp_path / "bundle"))
        assert synthesize(bundle, "A cab.", tmp_path / "x.wav", settings=BRIEF).cut == wanted


def test_speaking_takes_one_thread_and_gives_the_others_back(
    speaker: ModelRef, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []

    def counted(*values: Any) -> Any:
        threads.append(torch.get_num_threads())
        return griffin_lim(*values)

    monkeypatch.setattr(speech, "griffin_lim", counted)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        synthesize(speaker, "A cab.", tmp_path / "x.wav", settings=BRIEF)
        after = torch.get_num_threads()
    finally:
        torch.set_num_threads(before)
    assert (threads, after) == ([1], 2)


def test_in_a_sample_each_person_keeps_the_own_voice_beside_an_unknown_first_speaker(
    speaker: ModelRef, tmp_path: Path
) -> None:
    model = load_bundle(Path(speaker.address), MelModel).model
    for part in cast(MelModel, model).head.parameters():  # fresh gates hear no condition
        torch.nn.init.normal_(part, std=0.1)
    noise = torch.randn(3, 5, tiny.SHAPE.latent_size)
    save_bundle(model, dict(zip(("Ann", "Bo", "Cy"), noise, strict=True)), tmp_path / "bundle")
    clip = tiny.clips(5)[4]
    people = {"A": "Stranger", "B": "Bo", "C": "Ann"}
    turns = [
        dataclasses.replace(clip.turns[0], tag=f"SPEAKER_{tag}", speaker=person, text="A cab.")
        for tag, person in people.items()
    ]
    held_out = dataclasses.replace(clip, turns=tuple(turns))
    files = tiny.write_clips(tmp_path / "shards", [*tiny.clips(1), held_out], COLUMNS)
    write_manifest(tmp_path / "shards", tiny.manifest(*files))
    settings = sweep_as_json(Sweep(space={}, trials=1))
    sweep = SweepFolder(tmp_path / "sweep")
    shards = str(tmp_path / "shards")
    sweep.write(SweepRecord("sweep", speaker.address, shards, "", settings, 1, {}))
    sample = speak_sample(sweep, tmp_path / "bundle").read_bytes()
    text = " ".join(f"[SPEAKER_{tag}] A cab." for tag in people)
    spoken = {}
    for voices in (("Cy", "Bo", "Ann"), ("Bo", "Ann", "Cy")):
        synthesize(
            ModelRef.parse(str(tmp_path / "bundle")), text, tmp_path / "x.wav", voices=voices
        )
        spoken[voices] = (tmp_path / "x.wav").read_bytes()
    assert spoken["Cy", "Bo", "Ann"] == sample != spoken["Bo", "Ann", "Cy"]


@pytest.mark.parametrize(
    ("text", "voices", "found"),
    [
        ("  ", [], "the text is empty"),
        ("[SPEAKER_A] A cab.", ["Cy"], "no voice Cy"),
        ("[SPEAKER_A] A cab.", ["Ann", "Bo"], "2 voices for 1 speakers"),
        ("\n".join(f"[SPEAKER_{tag}] A cab." for tag in "ABCDE"), [], "5 speakers"),
        ("[SPEAKER_A] ...", [], "nothing to say"),
    ],
)
def test_what_cannot_be_spoken_is_named(
    speaker: ModelRef, tmp_path: Path, text: str, voices: list[str], found: str
) -> None:
    with pytest.raises(SpeechError, match=found):
        synthesize(speaker, text, tmp_path / "x.wav", voices=voices, settings=BRIEF)


def test_a_phoneme_that_the_model_lacks_is_named(speaker: ModelRef, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="θ"):
        synthesize(speaker, "Thirsty.", tmp_path / "x.wav", settings=BRIEF)


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"shipped base \(mel-small\)"):
        ModelRef.parse(str(tmp_path))


def test_the_base_is_heard_in_the_voices_of_what_was_tuned(
    lora_sweep: SweepFolder, tmp_path: Path
) -> None:
    tuned = ModelRef.parse(str(export(lora_sweep, tmp_path / "out")))
    base = ModelRef.parse(lora_sweep.read().model)
    voice = base_voice(str(base), tuned, tmp_path)
    assert voice.model.family.voices(voice.model.address) == tuned.family.voices(tuned.address)
    lent = load_bundle(Path(voice.model.address), MelModel)
    for name, value in base.load().state_dict().items():
        assert torch.equal(lent.model.state_dict()[name], value), name

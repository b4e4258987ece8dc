"""A bundle remembers what it was trained on, and speaks in that language."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import soundfile
import torch

from tests import tiny
from vibesweep.config import Sweep, TrialSettings
from vibesweep.corpus.shards.manifest import read_manifest, write_manifest
from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.corpus.text.phonemes import phonemize
from vibesweep.corpus.text.version import TEXT_VERSION
from vibesweep.delivery.export import export
from vibesweep.delivery.sample import speak_sample
from vibesweep.delivery.synthesize import synthesize
from vibesweep.errors import ModelError, SpeechError
from vibesweep.models.bundle import load_bundle, save_bundle
from vibesweep.models.bundle_folder import CONFIG
from vibesweep.models.family import SpeakingSettings, Speech
from vibesweep.models.mel import speech
from vibesweep.models.mel.encoder import COLUMNS
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.reading import read_texts
from vibesweep.models.registry import ModelRef
from vibesweep.models.trained_on import TRAINED_ON, TrainedOn
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord, TrialState, sweep_as_json
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

GREEK = "Καλημέρα σας."
ENGLISH = "A cab, a bed."


@pytest.fixture(autouse=True)
def brief_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have untrained models, which never stop by themselves, speak briefly."""
    monkeypatch.setattr(speech, "PATCHES_PER_PHONEME", 0.5)


def model_of(*texts: tuple[str, str]) -> MelModel:
    """Make a tiny model that knows the phonemes of (text, language) pairs."""
    symbols = [phonemize([text], language)[0].symbols for text, language in texts]
    made = MelModel(tiny.SHAPE, PhonemeTable.fit([*symbols, tiny.SYMBOLS]), tiny.MEL_SETTINGS)
    made.codec.load_state_dict(tiny.model().codec.state_dict())
    return made


def bundle_of(folder: Path, model: MelModel, trained_on: TrainedOn | None = None) -> Path:
    voice = torch.zeros(5, tiny.SHAPE.latent_size)
    save_bundle(model, {"Ann": voice}, folder, trained_on=trained_on)
    return folder


def edited(folder: Path, **changes: Any) -> Path:
    """Change a bundle's description by hand; None takes a part out."""
    file = folder / CONFIG
    description = json.loads(file.read_text(encoding="utf-8"))
    for name, value in changes.items():
        if value is None:
            del description[name]
        else:
            description[name] = description[name] | value
    file.write_text(json.dumps(description), encoding="utf-8")
    return folder


def said(bundle: Path, text: str, out: Path, language: str | None = None) -> Speech:
    settings = SpeakingSettings(diffusion_steps=2, language=language)
    return synthesize(ModelRef.parse(str(bundle)), text, out, settings=settings)


def write_greek_shards(folder: Path) -> Path:
    """Write shards whose turns all say the Greek sentence."""
    phonemes = list(phonemize([GREEK], "el")[0].symbols)
    clips = []
    for clip in tiny.clips(15):
        turns = [
            dataclasses.replace(turn, text=GREEK, columns={"phonemes": phonemes})
            for turn in clip.turns
        ]
        clips.append(dataclasses.replace(clip, turns=tuple(turns)))
    files = tiny.write_clips(folder, clips, COLUMNS)
    made = tiny.manifest(*files)
    settings = {**made.encoder.settings, "language": "el"}
    encoder = dataclasses.replace(made.encoder, settings=settings)
    write_manifest(folder, dataclasses.replace(made, encoder=encoder, languages={"el": 30}))
    return folder


def greek_sweep(folder: Path) -> SweepFolder:
    """Train one trial on Greek shards, from a base that says nothing of a language."""
    base = bundle_of(folder / "base", model_of((GREEK, "el")))
    shards = write_greek_shards(folder / "shards")
    settings = TrialSettings(batch_clips=4)
    run = TrialRun(WorkerContext.open(ModelRef.parse(str(base)), shards, World()), settings, 1)
    run.advance(1)
    sweep = SweepFolder(folder / "sweep")
    run.save(sweep.checkpoints / "t0")
    signature = read_manifest(shards).signature
    plan = sweep_as_json(Sweep(space={}, trials=1))
    trial = TrialRecord(
        "t0", 0, {}, dataclasses.asdict(settings), TrialState.COMPLETE, best_loss_val=1.0
    )
    record = SweepRecord("sweep", str(base), str(shards), signature, plan, 1, {}, trials=[trial])
    sweep.write(record)
    return sweep


def test_a_sweep_on_greek_shards_ends_with_a_model_that_speaks_greek(tmp_path: Path) -> None:
    best = export(greek_sweep(tmp_path), tmp_path / "best")
    trained_on = load_bundle(best, MelModel).trained_on
    assert trained_on.language == "el"
    assert trained_on.text_version == TEXT_VERSION
    assert trained_on.languages == {"el": 30}
    assert ModelRef.parse(str(best)).family.language(str(best)) == "el"
    sample = speak_sample(SweepFolder(tmp_path / "sweep"), best)
    assert soundfile.info(str(sample)).duration > 0
    assert said(best, GREEK, tmp_path / "x.wav").remarks == ()


def test_another_language_is_read_where_it_is_asked_for(tmp_path: Path) -> None:
    model = model_of((GREEK, "el"), (ENGLISH, "en-us"))
    bundle = bundle_of(tmp_path / "bundle", model, TrainedOn(language="el"))
    assert said(bundle, ENGLISH, tmp_path / "x.wav", "en-us").remarks == ()
    with pytest.raises(SpeechError, match="read as en-us"):
        said(bundle, GREEK, tmp_path / "x.wav", "en-us")


def test_a_bundle_of_an_earlier_version_is_read_as_it_was_then(tmp_path: Path) -> None:
    bundle = edited(bundle_of(tmp_path / "old", model_of((ENGLISH, "en-us"))), trained_on=None)
    assert load_bundle(bundle, MelModel).trained_on == TrainedOn(language="en-us")
    assert said(bundle, ENGLISH, tmp_path / "x.wav").remarks == ()


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"mel": {"sample_rate_hz": 16_000}}, "sample_rate_hz is 16000, .* with 24000"),
        ({"mel": {"level_dbfs": -20.0}}, "level_dbfs is -20.0, .* with -25.0"),
        ({"phonemes": {"symbols": list(" abcdgef")}}, "phoneme_table is"),
        ({TRAINED_ON: {"text_version": TEXT_VERSION + 1}}, "Install a newer vibesweep"),
        ({TRAINED_ON: {"tongue": "el"}}, "tongue"),
    ],
)
def test_a_bundle_that_was_trained_on_something_else_is_refused(
    tmp_path: Path, part: dict[str, Any], found: str
) -> None:
    bundle = edited(bundle_of(tmp_path / "bundle", tiny.model()), **part)
    with pytest.raises(ModelError, match=found) as caught:
        load_bundle(bundle, MelModel)
    assert "\n" not in str(caught.value)


def test_texts_that_were_read_otherwise_in_training_are_told(tmp_path: Path) -> None:
    before = TrainedOn(text_version=TEXT_VERSION - 1)
    bundle = bundle_of(tmp_path / "bundle", model_of((ENGLISH, "en-us")), before)
    (remark,) = said(bundle, ENGLISH, tmp_path / "x.wav").remarks
    assert f"version {TEXT_VERSION - 1}" in remark


def test_what_synthesis_leaves_out_is_told_in_one_line(tmp_path: Path) -> None:
    model = model_of(("A cab, a bed, a cab, a bed, a big bad bed.", "en-us"))
    bundle = bundle_of(tmp_path / "bundle", model)
    text = "A cab, a bed, a bed, ☃ a bed☃, a bath, a big bad καλημέρα, a big bad bed --- a cab."
    (remark,) = said(bundle, text, tmp_path / "x.wav").remarks
    assert "'☃'" in remark
    assert "SNOWMAN of 'bed☃,'" in remark
    assert "of 'bath,'" in remark
    assert "καλημέρα" in remark
    assert "---" not in remark


def test_a_text_that_lacks_too_much_is_refused() -> None:
    table = model_of(("A cab.", "en-us")).phonemes
    with pytest.raises(ModelError, match="never met"):
        read_texts(["Thirsty foxes jump."], "en-us", table)


def test_many_words_that_are_left_out_take_one_line() -> None:
    table = model_of((ENGLISH, "en-us")).phonemes
    snowmen = [f"{'☃' * count}" for count in range(1, 21)]
    (remark,) = read_texts([f"{ENGLISH} {' '.join(snowmen)}"], "en-us", table).remarks()
    assert remark.endswith("and 12 more")

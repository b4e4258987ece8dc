"""Trials that are heard while they train, of both families: real models, a made-up recording."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from tests import tiny, vibe
from tests.checkpoint import write_checkpoint
from vibesweep.config import TrialSettings
from vibesweep.corpus.demo.voices import BASE_VOICES, ESPEAK_RATE_HZ, speak
from vibesweep.corpus.recordings import Turn
from vibesweep.corpus.shards.manifest import read_manifest
from vibesweep.errors import ModelError, SpaceError
from vibesweep.models.mel import speech
from vibesweep.models.registry import ModelRef
from vibesweep.models.vibevoice import speech as vibevoice_speech
from vibesweep.quality.aim import Aim
from vibesweep.quality.measures import measure_named, scorer_class
from vibesweep.quality.passages import Passages
from vibesweep.quality.scorer import Passage, Sound
from vibesweep.quality.scorers import make_scorers
from vibesweep.storage import StoragePath
from vibesweep.sweep.checks.aim import check_aim
from vibesweep.sweep.search.space_file import load_space
from vibesweep.training import hearing
from vibesweep.training.hearing import TrialListener
from vibesweep.training.lanes.messages import Command
from vibesweep.training.lanes.spec import LaneSpec
from vibesweep.training.lanes.trial_runner import TrialRunner
from vibesweep.training.state.checkpoint import SavedBest, saved_best
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

TEXT = "A bad cab faced a bee."
FREE = {"mcd_db", "duration_ratio", "stop_error_latents", "ran_on"}
SETTINGS = TrialSettings(method="lora", learning_rate=1e-3, lora_rank=4, batch_clips=4)


@pytest.fixture(autouse=True)
def one_passage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have models say one text, briefly, which untrained ones never end by themselves."""
    samples = speak(TEXT, BASE_VOICES[0]).astype(np.float32) / np.float32(32_768)
    recording = Sound(samples, ESPEAK_RATE_HZ)
    passage = Passage("t0", (Turn("SPEAKER_A", TEXT),), {"SPEAKER_A": "p0"}, "en", recording, {})
    chosen = Passages((passage,), (TEXT,))
    monkeypatch.setattr(hearing, "choose_passages", lambda *_: chosen)
    monkeypatch.setattr("vibesweep.models.mel.reading.MOST_LEFT_OUT", 1.0)
    monkeypatch.setattr(inspect.unwrap(speech.sample_latents), "__defaults__", (1.1,))
    monkeypatch.setattr(speech, "PATCHES_PER_PHONEME", 1.0)
    monkeypatch.setattr(vibevoice_speech, "LIMIT_RATIO", 1)


def spec_of(model: ModelRef, shards: Path, folder: Path, aim: Aim) -> LaneSpec:
    kept = StoragePath.of(folder)
    return LaneSpec(
        name="lane",
        model=model,
        shards=str(shards),
        shards_signature=read_manifest(shards).signature,
        checkpoints=kept / "checkpoints",
        states=kept / "states",
        clones=kept / "clones",
        scratch=folder / "scratch",
        max_steps=6,
        aim=aim,
        heard_steps=(4, 6),
    )


@pytest.mark.parametrize("family", ["mel", pytest.param("vibevoice", marks=pytest.mark.slow)])
def test_a_trial_is_heard_where_it_is_due_and_its_noise_stays_as_it_was(
    family: str, tmp_path: Path
) -> None:
    if family == "mel":
        model = ModelRef.parse(str(tiny.write_base(tmp_path / "base")))
        shards = tiny.write_shards(tmp_path / "shards", 15)
    else:
        checkpoint = write_checkpoint(tmp_path / "base")
        model = ModelRef.parse(f"vibevoice:{checkpoint}")
        shards = vibe.write_shards(tmp_path / "shards", checkpoint)
    aim = Aim("mcd_db", {"ran_on": 0.5})
    spec = spec_of(model, shards, tmp_path, aim)
    context = WorkerContext.open(model, shards, World())
    listener = TrialListener(model, str(shards), spec.shards_signature, aim.measures)
    runner = TrialRunner(spec, context, 0, listener)
    reports = []
    for steps in ((2,), (2, 4), (2, 4, 6)):
        answer = runner.run(Command("trial", SETTINGS, steps))
        assert answer.error is None, answer.error
        assert answer.report is not None
        reports.append(answer.report)
    first, second, last = reports
    assert first.heard == {}
    for report in (second, last):
        assert report.heard.keys() == FREE
        assert report.heard_s > 0
    best = min(reports, key=lambda report: aim.score(report.loss_val, report.heard))
    assert (last.best_step, last.best_heard) == (best.step, best.heard)
    assert saved_best(spec.checkpoints / "trial") == SavedBest(best.loss_val, best.step, best.heard)
    silent = TrialRunner(spec_of(model, shards, tmp_path / "silent", Aim()), context, 0)
    unheard = silent.run(Command("trial", SETTINGS, (2, 4, 6))).report
    assert unheard is not None
    assert unheard.loss_val == last.loss_val, "hearing draws nothing from the trial's noise"


def test_hearing_leaves_the_generator_alone(tmp_path: Path) -> None:
    model = ModelRef.parse(str(tiny.write_base(tmp_path / "base")))
    shards = tiny.write_shards(tmp_path / "shards", 15)
    spec = spec_of(model, shards, tmp_path, Aim("mcd_db"))
    context = WorkerContext.open(model, shards, World())
    listener = TrialListener(model, str(shards), spec.shards_signature, ["mcd_db"])
    run = TrialRun(context, SETTINGS, 6)
    run.advance(1)
    before = torch.get_rng_state()
    once = listener.hear(run, context)
    assert torch.equal(torch.get_rng_state(), before)
    assert listener.hear(run, context) == once, "the same seed"


@pytest.fixture
def own_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the example of a metric as pip would: a module, and metadata with an entry point."""
    example = Path(__file__).parents[2] / "examples" / "own_metric"
    project = tomllib.loads((example / "pyproject.toml").read_text())["project"]
    (group, entries), *_ = project["entry-points"].items()
    metadata = tmp_path / "installed" / "own_metric-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own-metric\nVersion: 1.0\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]))
    monkeypatch.syspath_prepend(str(example))
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    yield
    scorer_class.cache_clear()


def test_a_metric_of_another_package_limits_a_sweep(own_metric: None, tmp_path: Path) -> None:
    sweep = load_space(Path(__file__).parents[2] / "examples" / "own_metric" / "space.py")
    check_aim(sweep)
    aim = Aim.of(sweep)
    model = ModelRef.parse(str(tiny.write_base(tmp_path / "base")))
    shards = tiny.write_shards(tmp_path / "shards", 15)
    spec = spec_of(model, shards, tmp_path, aim)
    context = WorkerContext.open(model, shards, World())
    listener = TrialListener(model, str(shards), spec.shards_signature, aim.measures)
    heard = listener.hear(TrialRun(context, SETTINGS, 6), context)
    assert abs(heard["pauses"]) <= 1
    assert aim.score(0.5, {**heard, "pauses": 0.05}) == 0.5
    assert aim.score(0.5, {**heard, "pauses": 0.4}) > 0.5
    names = {measure.name for measure in make_scorers(()).measures}
    assert "pauses" in names


def test_without_its_package_there_is_no_such_measure() -> None:
    sweep = load_space(Path(__file__).parents[2] / "examples" / "own_metric" / "space.py")
    with pytest.raises(SpaceError, match="there is no measure 'pauses'"):
        check_aim(sweep)
    with pytest.raises(ModelError, match="install the package"):
        measure_named("pauses")

"""A sweep in TensorBoard and in optuna-dashboard, read back by their own readers."""

from __future__ import annotations

import dataclasses
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import soundfile
from optuna.artifacts import FileSystemArtifactStore
from optuna_dashboard import wsgi
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.context import RequestContext
from tensorboard.plugins.base_plugin import TBContext
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams.backend_context import Context
from tensorboard.plugins.hparams.list_session_groups import Handler
from werkzeug.test import Client

from vibesweep.config import Report, StepRecord, Sweep, TrialSettings
from vibesweep.delivery.dashboards import show_sample
from vibesweep.storage import StoragePath
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord, sweep_as_json
from vibesweep.sweep.record.curves import BEST, SPEECH, SPEECH_MEL, Curves
from vibesweep.sweep.record.study import STUDY_NAME, study_storage

RATE_HZ = 24_000
WATCHING = Path(__file__).parents[2] / "docs" / "watching.md"
SWEPT: list[dict[str, Any]] = [
    {"method": "full", "learning_rate": 1e-3},
    {"method": "lora", "learning_rate": 3e-3, "lora_rank": 8, "ema_decay": None},
]


def trial_record(number: int) -> TrialRecord:
    """Make a trial that has been validated at step 4, and was better at step 2."""
    settings = dataclasses.asdict(TrialSettings())
    best = 0.5 - 0.1 * number
    return TrialRecord(
        f"id{number}", number, SWEPT[number], settings, step=4, best_loss_val=best, best_step=2
    )


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write two trials of one report each."""
    folder = tmp_path_factory.mktemp("logs")
    curves = Curves(StoragePath.of(folder))
    for number in range(len(SWEPT)):
        record = trial_record(number)
        steps = tuple(StepRecord(step, 2.0 / step, 1e-3 * step, 0.5) for step in (3, 4))
        curves.start(record)
        curves.add_report(record, Report(4, 0.75, 0.6, 12.5, steps))
        curves.end(record)
    curves.close()
    return folder


def points(run: Path) -> dict[str, dict[int, float]]:
    """Return a run's curves: the value at each step, by tag."""
    found = EventAccumulator(str(run))
    found.Reload()
    tags = found.Tags()["scalars"]
    return {tag: {event.step: event.value for event in found.Scalars(tag)} for tag in tags}


def test_tensorboard_reads_the_curves(logs: Path) -> None:
    assert points(logs / "trial_001") == {
        "loss/train": {3: pytest.approx(2 / 3), 4: pytest.approx(0.5)},
        "lr": {3: pytest.approx(3e-3), 4: pytest.approx(4e-3)},
        "grad_norm": {3: 0.5, 4: 0.5},
        "loss/val": {4: 0.75},
        "steps/s": {4: 12.5},
        "loss/val_best": {2: pytest.approx(0.4)},
    }


def test_the_hparams_page_has_every_setting_of_every_trial(logs: Path) -> None:
    """One that only some trials have, too."""
    events = EventMultiplexer()
    events.AddRunsFromDirectory(str(logs))
    events.Reload()
    provider = MultiplexerDataProvider(events, str(logs))
    context = Context(TBContext(data_provider=provider, logdir=str(logs)))
    user = RequestContext()
    metadata = context.hparams_metadata(user, "")
    listed = context.hparams_from_data_provider(user, "", 0)
    experiment = context.experiment_from_metadata(user, "", True, metadata, listed)
    columns = {info.name for info in experiment.hparam_infos}
    assert columns == {"method", "learning_rate", "lora_rank"}
    assert "loss/val_best" in {info.name.tag for info in experiment.metric_infos}
    request = api_pb2.ListSessionGroupsRequest(
        slice_size=10,
        allowed_statuses=[api_pb2.STATUS_SUCCESS],
        include_metrics=True,
    )
    groups = Handler(user, context, "", request).run().session_groups
    rows = {group.name: group for group in groups}
    assert rows["trial_001"].hparams["lora_rank"].number_value == 8
    assert "lora_rank" not in rows["trial_000"].hparams
    values = {value.name.tag: value.value for value in rows["trial_001"].metric_values}
    assert values["loss/val_best"] == pytest.approx(0.4)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """Write a sweep of two trials, and show half a second of its best one's voice."""
    folder = SweepFolder(tmp_path_factory.mktemp("sweep"))
    settings = sweep_as_json(Sweep(space={}, trials=2))
    trials = [trial_record(number) for number in range(2)]
    folder.write(SweepRecord("sweep", "mel", "/shards", "", settings, 1, {}, trials=trials))
    study = optuna.create_study(study_name=STUDY_NAME, storage=study_storage(folder.journal))
    for record in trials:
        trial = study.ask()
        trial.suggest_float("learning_rate", 1e-4, 1e-2)
        study.tell(trial, record.best_loss_val)
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE_HZ // 2) / RATE_HZ)
    sample = Path(str(folder.place)) / "sample.wav"
    soundfile.write(sample, wave, RATE_HZ)
    show_sample(folder, sample)
    return folder


def test_tensorboard_plays_the_best_trials_speech(sweep: SweepFolder) -> None:
    found = EventAccumulator(str(sweep.tensorboard / BEST))
    found.Reload()
    (speech,) = found.Audio(SPEECH)
    samples, rate_hz = soundfile.read(io.BytesIO(speech.encoded_audio_string))
    assert (speech.step, rate_hz, len(samples)) == (2, RATE_HZ, RATE_HZ // 2)
    assert abs(samples).max() == pytest.approx(0.5, abs=0.01)


def test_tensorboard_draws_its_mel(sweep: SweepFolder) -> None:
    from PIL import Image

    found = EventAccumulator(str(sweep.tensorboard / BEST))
    found.Reload()
    (drawn,) = found.Images(SPEECH_MEL)
    picture = np.array(Image.open(io.BytesIO(drawn.encoded_image_string)).convert("L"))
    assert picture.shape == (drawn.height, drawn.width)
    # A tone of 440 Hz is one bright line, near the bottom
    loudness = picture.mean(axis=1)
    assert loudness.argmax() > 0.8 * len(loudness)
    assert loudness.max() > 3 * np.median(loudness)


def asked(browser: Client, address: str) -> Any:
    """Return what the dashboard's server answers, read from JSON."""
    return browser.get(address).get_json()


def test_optuna_dashboard_opens_the_study_and_plays_the_artifact(sweep: SweepFolder) -> None:
    store = FileSystemArtifactStore(str(sweep.artifacts))
    browser = Client(wsgi(study_storage(sweep.journal), artifact_store=store))
    (summary,) = asked(browser, "/api/studies")["study_summaries"]
    assert summary["study_name"] == STUDY_NAME
    study = summary["study_id"]
    found = asked(browser, f"/api/studies/{study}")
    assert [trial["values"] for trial in found["trials"]] == [[0.5], [0.4]]
    (artifact,) = found["artifacts"]
    assert artifact["filename"] == "best_trial_001.wav"
    assert artifact["mimetype"] in ("audio/wav", "audio/x-wav")
    address = f"/artifacts/{study}/{artifact['artifact_id']}"
    played = browser.get(address)
    assert played.data == (Path(str(sweep.place)) / "sample.wav").read_bytes()
    assert asked(browser, "/api/meta")["artifact_is_available"]


def test_python_reads_the_study_as_the_docs_say(
    sweep: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", WATCHING.read_text(), re.DOTALL)
    place = Path(str(sweep.place))
    monkeypatch.chdir(place.parent)
    found: dict[str, Any] = {}
    exec(code.replace("sweeps/NAME", place.name), found)
    assert found["study"].best_value == pytest.approx(0.4)

"""The product as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from peft import PeftModel

from tests.checkpoint import write_checkpoint
from tests.cli.command import Vibesweep, vibesweep
from tests.disks import small_disk
from tests.unit.test_delivery import write_sweep
from vibesweep.config import TrialSettings
from vibesweep.corpus.demo import write_demo_corpus
from vibesweep.delivery.export import export
from vibesweep.models.registry import ModelRef

LORA = TrialSettings(method="lora", learning_rate=1e-2, lora_rank=4, batch_clips=4)

SPACE = """
import optuna
from vibesweep import Budget, Sweep, TrialSettings

def space(trial: optuna.Trial):
    trial.suggest_float("learning_rate", 1e-4, 3e-3, log=True)
    if trial.suggest_categorical("method", ["lora", "full"]) == "lora":
        trial.suggest_int("lora_rank", 4, 16, log=True)

sweep = Sweep(space=space, settings=TrialSettings(batch_clips=4), trials=3, lanes=1,
              objective=("loss_val", "step_ms"), limits={"ran_on": 0.34},
              budget=Budget(max_steps=6, grace_steps=2, reduction_factor=2),
              try_first=({"learning_rate": 1e-3, "method": "lora", "lora_rank": 8},))
"""
SHARED_SPEECH = Path(__file__).parents[3] / "shared" / "data" / "speech"


def loudness(wav: Path) -> tuple[float, float]:
    """Return seconds and RMS of a mono 24 kHz file."""
    samples, rate_hz = soundfile.read(wav)
    assert rate_hz == 24_000
    assert samples.ndim == 1
    return len(samples) / rate_hz, float(np.sqrt((samples**2).mean()))


@pytest.fixture(scope="module")
def staged(in_process: Vibesweep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a small sweep on a small demo corpus in a folder, as a user does."""
    folder = tmp_path_factory.mktemp("staged")
    in_process("demo-corpus", "talks", "--recordings", "12", cwd=folder)
    (folder / "small.py").write_text(SPACE)
    printed = in_process("run", "small.py", "--corpus", "talks", cwd=folder)
    assert "3 of 3 ended" in printed
    assert "untouched base" in printed
    assert "ranked by the loss and ms a step, if it keeps to ran on 0.34" in printed
    assert "unbeaten in both best loss and ms a step: " in printed
    assert "the trials were heard in " in printed
    return folder


def test_a_sweep_leaves_what_it_says(staged: Path) -> None:
    sweep = staged / "sweeps" / "small"
    here = {path.name for path in sweep.iterdir()}
    assert here == {
        "sweep.json",
        "events.jsonl",
        "trials.parquet",
        "study.journal",
        "space.py",
        "tensorboard",
        "artifacts",
        "checkpoints",
        "best",
        "quality",
        "quality.json",
        "report.html",
    }
    seconds, rms = loudness(sweep / "best" / "sample.wav")
    assert seconds > 0.5
    assert rms > 0.01
    pickles = (".pkl", ".pt", ".bin", ".pickle")
    assert not [path for path in sweep.rglob("*") if path.suffix in pickles]


def test_list_show_and_report_tell_of_it(staged: Path, in_process: Vibesweep) -> None:
    assert "small" in in_process("list", cwd=staged)
    assert "learning_rate" in in_process("show", "small", cwd=staged)
    report = staged / "sweeps" / "small" / "report.html"
    report.unlink()
    assert str(report) in in_process("report", "small", cwd=staged)
    assert "What the lanes did" in report.read_text(encoding="utf-8")
    record = json.loads(in_process("show", "small", "--json", cwd=staged))
    assert record["state"] == "done"
    assert len(record["trials"]) == 3
    assert record["best"] in {trial["id"] for trial in record["trials"]}
    try_first = {"learning_rate": 1e-3, "method": "lora", "lora_rank": 8}
    assert record["trials"][0]["swept"] == try_first
    heard = [trial["best_heard"] for trial in record["trials"] if trial["best_heard"]]
    assert heard
    assert {"mcd_db", "ran_on"} <= heard[0].keys()
    for trial in record["trials"]:
        assert trial["step_ms"] > 0
        assert trial["peak_memory_mb"] > 0
        assert trial["tokens"] == trial["row_tokens"] > 0, "on a CPU rows are not filled up"
    assert "none beats these in both" in in_process(
        "show", "small", "--pareto", "step_ms", cwd=staged
    )


def test_the_export_speaks(staged: Path, in_process: Vibesweep) -> None:
    in_process("export", "small", "--out", "voice", cwd=staged)
    text = "[SPEAKER_A] Hello there. [SPEAKER_B] 你好。"
    printed = in_process("synthesize", "voice", "--text", text, "--out", "x.wav", cwd=staged)
    assert "SPEAKER_A as " in printed
    assert loudness(staged / "x.wav")[0] > 0.5
    provenance = json.loads((staged / "voice" / "provenance.json").read_text())
    assert provenance["sweep"]["name"] == "small"


def test_the_adapter_of_an_exported_lora_trial_loads_in_plain_peft(tmp_path: Path) -> None:
    export(write_sweep(tmp_path, LORA), tmp_path / "voice")
    exported = ModelRef.parse(str(tmp_path / "voice")).load().state_dict()
    base = ModelRef.parse(str(tmp_path / "base")).load()
    untouched = {name: value.clone() for name, value in base.state_dict().items()}
    adapted = PeftModel.from_pretrained(base, str(tmp_path / "voice" / "adapter"))
    merged = adapted.merge_and_unload().state_dict()
    assert merged.keys() == exported.keys()
    assert all(torch.allclose(merged[name], exported[name], atol=1e-6) for name in merged)
    assert any(not torch.allclose(untouched[name], exported[name], atol=1e-4) for name in merged)


def test_preprocessing_names_what_it_leaves_out_and_does_nothing_the_second_time(
    tmp_path: Path, in_process: Vibesweep
) -> None:
    write_demo_corpus(tmp_path / "talks", recordings=6)
    (tmp_path / "talks" / "audio" / "demo_0001.flac").write_bytes(b"not audio at all")
    command = ("preprocess", "talks", "out", "--val-ids", "demo_0002,demo_0003")
    printed = in_process(*command, cwd=tmp_path)
    assert "3 training and 2 validation clips" in printed
    assert "1 rejected" in printed
    assert "1 x unreadable_audio (see out/rejects.parquet)" in printed
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    again = in_process(*command, cwd=tmp_path)
    assert printed.endswith(again), "a slow machine's first run prints its progress too"
    assert "1 rejected" in again
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before
    described = in_process("inspect", "out", "--pictures", "2", cwd=tmp_path)
    for found in ("train 3 clips", "Alex", "unreadable_audio", "demo_0001", "seconds a clip", "zh"):
        assert found in described
    pictures = list((tmp_path / "mels").iterdir())
    assert len(pictures) == 2
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_preprocessing_for_a_checkpoint_has_its_encoders_hear_the_corpus(
    tmp_path: Path, in_process: Vibesweep
) -> None:
    write_demo_corpus(tmp_path / "talks", recordings=4)
    write_checkpoint(tmp_path / "checkpoint")
    command = ("preprocess", "talks", "out", "--model")
    printed = in_process(*command, "vibevoice:checkpoint", cwd=tmp_path)
    assert "3 training and 1 validation clips" in printed
    described = in_process("inspect", "out", "--pictures", "0", cwd=tmp_path)
    assert "64 acoustic and 128 semantic numbers every 3200 samples" in described
    assert "no such folder" in in_process(*command, "vibevoice:gone", cwd=tmp_path, rc=2)
    assert "no model" in in_process(*command, "mel-huge", cwd=tmp_path, rc=2)


def test_a_corpus_of_another_layout_and_language_is_preprocessed(
    tmp_path: Path, in_process: Vibesweep
) -> None:
    write_demo_corpus(tmp_path / "talks", recordings=4)
    text = "Speaker 0: Guten Morgen.\nSpeaker 1: Wie geht es dir heute, mein Freund?"
    rows = [{"text": text, "audio": f"talks/audio/demo_{i:04d}.flac"} for i in range(4)]
    lines = [json.dumps(row) + "\n" for row in rows]
    (tmp_path / "talks.jsonl").write_text("".join(lines))
    options = ("--language", "de", "--split-by", "speaker", "--val-ids", "SPEAKER_0")
    said = in_process("preprocess", "talks.jsonl", "out", *options, cwd=tmp_path, rc=2)
    assert "nothing is left for training" in said, "both people are in all clips"
    command = ("preprocess", "talks.jsonl", "out", "--language", "de")
    assert "4 x" not in in_process(*command, cwd=tmp_path)
    assert "de" in in_process("inspect", "out", "--pictures", "0", cwd=tmp_path)


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--language", "klingon"), "klingon"),
        (("--split-by", "mood"), "mood"),
        (("--val-ids", "nobody"), "nobody"),
        (("--max-reject-fraction", "1.5"), "max_reject_fraction is 1.5"),
    ],
)
def test_bad_options_of_preprocess_are_one_line(
    tmp_path: Path, in_process: Vibesweep, options: tuple[str, ...], found: str
) -> None:
    write_demo_corpus(tmp_path / "talks", recordings=2)
    said = in_process("preprocess", "talks", "out", *options, cwd=tmp_path, rc=2)
    assert said.count("\n") == 1
    assert found in said


def test_the_untuned_base_speaks_too(tmp_path: Path, in_process: Vibesweep) -> None:
    text = "The lantern burned until morning."
    in_process("synthesize", "mel-small", "--text", text, "--out", "base.wav", cwd=tmp_path)
    seconds, rms = loudness(tmp_path / "base.wav")
    assert 1.0 < seconds < 4.0
    assert rms > 0.01


def test_a_sweep_on_a_disk_that_fills_up_ends_in_one_line(
    staged: Path, on_cluster: Vibesweep
) -> None:
    by_loss_alone = SPACE.replace('objective=("loss_val", "step_ms"), limits={"ran_on": 0.34},', "")
    (staged / "plain.py").write_text(by_loss_alone)
    with small_disk(staged / "disk", kilobytes=3_000):
        command = ("run", "plain.py", "--corpus", "talks", "--work", "disk", "--trials", "8")
        said = on_cluster(*command, cwd=staged, rc=2)
    assert said.count("\n") == 1
    assert "the disk is full" in said


def test_a_name_that_is_taken_is_one_line(staged: Path, in_process: Vibesweep) -> None:
    said = in_process("run", "small.py", "--corpus", "talks", cwd=staged, rc=2)
    assert said.count("\n") == 1
    assert "named small already" in said
    assert "--name" in said


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import optuna\nsweep = 1 / 0\n", "broken.py:2: ZeroDivisionError"),
        ("def space(:\n", "broken.py:1: SyntaxError"),
        ("x = 1\n", "broken.py: defines no `sweep`"),
        (
            "from vibesweep import Sweep\nsweep = Sweep(space=lambda t: {'learning_rat': 1})\n",
            "learning_rat",
        ),
    ],
)
def test_an_error_in_a_space_file_is_one_line(
    tmp_path: Path, in_process: Vibesweep, text: str, found: str
) -> None:
    (tmp_path / "broken.py").write_text(text)
    said = in_process("run", "broken.py", cwd=tmp_path, rc=2)
    assert said.count("\n") == 1
    assert found in said


def test_a_corpus_without_metadata_is_one_line(tmp_path: Path, in_process: Vibesweep) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "small.py").write_text(SPACE)
    for command in (("preprocess", "empty", "out"), ("run", "small.py", "--corpus", "empty")):
        said = in_process(*command, cwd=tmp_path, rc=2)
        assert said.count("\n") == 1
        assert "no metadata.csv" in said


def test_recordings_that_are_all_unreadable_are_one_line(
    tmp_path: Path, in_process: Vibesweep
) -> None:
    write_demo_corpus(tmp_path / "talks", recordings=2)
    for clip in (tmp_path / "talks" / "audio").iterdir():
        clip.write_bytes(b"not audio at all")
    said = in_process("preprocess", "talks", "out", cwd=tmp_path, rc=2)
    assert said.count("\n") == 1
    assert "unreadable_audio 2" in said


def test_help_names_the_verbs(tmp_path: Path) -> None:
    assert "demo-corpus" in vibesweep("--help", cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    not SHARED_SPEECH.is_dir(),
    reason="needs ../shared/data/speech, which is not part of the project",
)
def test_real_speech_is_tuned_to_below_the_untouched_base(
    tmp_path: Path, on_cluster: Vibesweep
) -> None:
    space = SPACE.replace("trials=3", "trials=6")
    space = space.replace("max_steps=6, grace_steps=2", "max_steps=12, grace_steps=4")
    (tmp_path / "real.py").write_text(space)
    on_cluster("run", "real.py", "--corpus", SHARED_SPEECH, cwd=tmp_path)
    record = json.loads(vibesweep("show", "real", "--json", cwd=tmp_path))
    assert len(record["trials"]) == 6
    losses = [trial["best_loss_val"] for trial in record["trials"]]
    assert min(loss for loss in losses if loss is not None) < record["base_loss_val"]
    vibesweep("export", "real", "--out", "voice", cwd=tmp_path)
    text = "[SPEAKER_A] It was a quiet morning."
    vibesweep("synthesize", "voice", "--text", text, "--out", "real.wav", cwd=tmp_path)
    assert loudness(tmp_path / "real.wav")[0] > 0.5

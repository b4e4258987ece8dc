"""What the operating system refuses is one line: what, where, what to do. Nothing is half-written.

Disks are full and read-only for real: small ones are mounted.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from tests.disks import read_only_disk, small_disk
from vibesweep.cli import main
from vibesweep.cluster.session import SOCKET_PATH_BYTES, check_ray_folder
from vibesweep.corpus.preprocess.shard_folder import ShardFolder
from vibesweep.corpus.sound.speech_file import FORMATS, check_speech_file, write_speech
from vibesweep.errors import ClusterError, DiskFullError, ShardsError, SpeechError, StorageError
from vibesweep.models.tensor_files import save_tensors
from vibesweep.storage import StoragePath
from vibesweep.storage.early import check_file_writable, check_folder_writable
from vibesweep.storage.os_errors import REFUSALS, disk_errors, storage_error
from vibesweep.training.lanes.failures import lane_failure, trial_failure

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 100_000).astype(np.float32)
LONG = "x" * 300


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a disk of 64 kB."""
    with small_disk(tmp_path / "disk") as found:
        yield found


def typed(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    """Type a command that fails with exit code 2, and return the one line that it gives."""
    before = sys.argv
    sys.argv = ["vibesweep", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = before
    said = capsys.readouterr().err
    assert ended.value.code == 2, said
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    return said


@pytest.mark.parametrize("number", REFUSALS)
def test_each_refusal_names_the_path_and_what_to_do(number: int) -> None:
    told = storage_error(OSError(number, os.strerror(number), "/data/voice"))
    assert told is not None
    assert str(told).startswith("/data/voice: ")
    assert told.fix


def test_an_error_that_is_not_the_systems_keeps_its_traceback() -> None:
    assert storage_error(OSError("no file named config.json")) is None
    assert storage_error(ValueError("ours")) is None
    assert storage_error(ConnectionRefusedError(errno.ECONNREFUSED, "refused")) is None
    with pytest.raises(ZeroDivisionError), disk_errors("/data/voice"):
        _ = 1 / 0


def test_an_error_about_another_file_names_that_file(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(FileNotFoundError, match="missing"), disk_errors("/out", tmp_path / "draft"):
        missing.read_bytes()


def test_the_error_of_a_task_elsewhere_is_told_as_its_cause() -> None:
    wrapped = RuntimeError("ray::encode_part()")
    wrapped.cause = OSError(errno.ENOSPC, "No space left", "/shards")  # type: ignore[attr-defined]
    told = storage_error(wrapped)
    assert isinstance(told, DiskFullError)
    assert told.where == "/shards"


@pytest.mark.parametrize("tell", [lane_failure, trial_failure])
def test_a_lane_tells_of_a_full_disk_without_a_traceback(tell: type[object]) -> None:
    full = OSError(errno.ENOSPC, "No space left", "/sweep")
    answer = tell("lane-0", full)  # type: ignore[call-arg]
    assert isinstance(answer.error, DiskFullError)  # type: ignore[attr-defined]
    assert not answer.traceback  # type: ignore[attr-defined]


def test_a_full_disk_keeps_what_was_there_and_no_draft(disk: Path) -> None:
    place = StoragePath.of(disk / "record.json")
    place.write_bytes(b"before")
    with pytest.raises(DiskFullError, match=r"record\.json: the disk is full\. Make room"):
        place.write_bytes(bytes(1 << 20))
    assert place.read_bytes() == b"before"
    assert os.listdir(disk) == ["record.json"]


def test_libraries_that_write_their_own_files_tell_of_a_full_disk(disk: Path) -> None:
    tensors = StoragePath.of(disk / "weights.safetensors")
    with pytest.raises(DiskFullError, match="weights"), tensors.drafted() as draft:
        save_tensors({"weight": torch.zeros(100_000)}, draft)
    table = StoragePath.of(disk / "trials.parquet")
    with pytest.raises(DiskFullError, match="trials"), table.drafted() as draft:
        pd.DataFrame({"loss": NOISE}).to_parquet(draft)
    assert os.listdir(disk) == []


@pytest.mark.parametrize("ending", FORMATS)
def test_a_full_disk_leaves_no_half_speech(disk: Path, ending: str) -> None:
    (disk / "filling").write_bytes(bytes(60 << 10))
    with pytest.raises(DiskFullError, match=f"speech{ending}: the disk is full"):
        write_speech(disk / f"speech{ending}", NOISE, 24_000)
    assert os.listdir(disk) == ["filling"]


@pytest.mark.parametrize("ending", [*FORMATS, ".MP3"])
def test_speech_is_written_in_the_format_of_its_ending(tmp_path: Path, ending: str) -> None:
    out = tmp_path / f"speech{ending}"
    check_speech_file(out)
    write_speech(out, NOISE, 24_000)
    found = soundfile.info(out)
    assert found.format == FORMATS[ending.lower()][0]
    assert found.samplerate == 24_000
    assert found.duration == pytest.approx(len(NOISE) / 24_000, abs=0.1)


def test_speech_goes_where_a_link_leads_and_into_a_pipe(tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to(tmp_path / "voice.wav")
    write_speech(tmp_path / "link.wav", NOISE, 24_000)
    assert (tmp_path / "link.wav").is_symlink()
    assert soundfile.info(tmp_path / "voice.wav").frames == len(NOISE)
    device = tmp_path / "device.wav"
    device.symlink_to("/dev/full")
    with pytest.raises(DiskFullError, match=r"device\.wav"):
        write_speech(device, NOISE, 24_000)
    assert not Path("/dev/full").is_file()


@pytest.mark.parametrize("name", ["speech.opus", "speech", "speech.wav.txt", ".wav"])
def test_an_ending_that_is_not_written_is_refused_with_those_that_are(name: str) -> None:
    with pytest.raises(SpeechError, match=r"\.wav, \.flac, \.ogg, \.mp3"):
        check_speech_file(Path(name))


def test_speech_is_refused_before_the_model_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder.wav").mkdir()
    speak = ("synthesize", tmp_path / "no-model", "--text", "Hello.", "--out")
    assert "ends in .m4a" in typed(capsys, *speak, "speech.m4a")
    assert "a file stands where" in typed(capsys, *speak, tmp_path / "file" / "speech.wav")
    assert "it is a folder" in typed(capsys, *speak, tmp_path / "folder.wav")
    assert "too long" in typed(capsys, *speak, tmp_path / f"{LONG}.wav")


def test_a_folder_that_cannot_be_written_to_is_refused_early(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, found in (
        (tmp_path / "file", "a file stands where a folder is needed"),
        (tmp_path / "file" / "below", "a file stands where a folder is needed"),
        (tmp_path / "loop" / "below", "leads back to itself"),
        (tmp_path / "loop", "leads back to itself"),
        (tmp_path / "new" / LONG, "the name is too long"),
        (tmp_path / LONG / "new", "the name is too long"),
    ):
        with pytest.raises(StorageError, match=found) as refused:
            check_folder_writable(path, "--work")
        assert refused.value.where == f"--work {path}"
    check_folder_writable(tmp_path / "new" / "folder", "--work")
    assert not (tmp_path / "new").exists()


def test_disks_that_take_nothing_are_refused_early(tmp_path: Path, disk: Path) -> None:
    with read_only_disk(tmp_path / "fixed") as fixed:
        with pytest.raises(StorageError, match="the file system is read-only"):
            check_folder_writable(fixed / "sweeps", "--work")
        with pytest.raises(StorageError, match="the file system is read-only"):
            check_file_writable(fixed / "speech.wav", "--out")
    (disk / "filling").write_bytes(bytes(64 << 10))
    with pytest.raises(DiskFullError, match="the disk is full"):
        ShardFolder(StoragePath.of(disk / "shards")).check()


def test_a_folder_of_somebody_else_is_refused_early(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    folder = tmp_path / "private"
    folder.mkdir(mode=0o700)
    os.seteuid(65_534)
    try:
        with pytest.raises(StorageError, match=r"private.*: permission denied"):
            check_folder_writable(folder / "sweeps", "--work")
        with pytest.raises(StorageError, match="permission denied"):
            StoragePath.of(folder).files()
    finally:
        os.seteuid(0)


def test_a_link_to_itself_beside_the_recordings_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "b.wav").symlink_to("b.wav")
    (tmp_path / "gone.wav").symlink_to("nowhere.wav")
    assert [file.name for file in StoragePath.of(tmp_path).files()] == ["a.wav"]
    with pytest.raises(ShardsError, match=r"a\.wav"):
        ShardFolder(StoragePath.of(tmp_path)).check()


def test_a_temporary_folder_too_long_for_rays_sockets_is_told_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(tmp_path / ("x" * SOCKET_PATH_BYTES)))
    with pytest.raises(ClusterError, match=r"TMPDIR /.*too long.*RAY_TMPDIR=/tmp"):
        check_ray_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/tmp")
    check_ray_folder()
    monkeypatch.setenv("RAY_TMPDIR", "/dev/null/x")
    with pytest.raises(StorageError, match="RAY_TMPDIR"):
        check_ray_folder()


@pytest.mark.parametrize(
    "name", ["a/b", "../up", "a\\b", "", " ", ".", "..", ".hidden", "a?b=c", "a\nb", "é" * 70]
)
def test_a_sweeps_name_that_is_no_folders_is_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.py"
    space.write_text("from vibesweep import Sweep\nsweep = Sweep(space={}, trials=1)\n")
    command = ("run", space, "--corpus", tmp_path / "none", "--work", tmp_path / "work")
    said = typed(capsys, *command, "--name", name)
    assert "cannot be a sweep's name" in said
    assert not (tmp_path / "work").exists()


def test_a_run_whose_work_folder_cannot_be_made_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    space = tmp_path / "space.py"
    space.write_text("from vibesweep import Sweep\nsweep = Sweep(space={}, trials=1)\n")
    said = typed(capsys, "run", space, "--work", "/dev/null/work")
    assert said.startswith("error: --work /dev/null/work: a file stands where a folder is needed")


def test_a_demo_corpus_tells_of_a_full_disk(disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = typed(capsys, "demo-corpus", disk / "talks", "--recordings", "4")
    assert "talks/audio/demo_" in said
    assert "the disk is full" in said
    assert not list(disk.rglob("*.writing"))


def test_other_verbs_refuse_their_folder_early(capsys: pytest.CaptureFixture[str]) -> None:
    assert "OUT /dev/null/talks" in typed(capsys, "demo-corpus", "/dev/null/talks")

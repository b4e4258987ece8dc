"""Where the driver writes, and what SIGTERM means to it."""

from __future__ import annotations

import secrets
import signal
import threading
from pathlib import Path
from types import FrameType

import pytest

from tests.waiting import wait_until
from vibesweep.errors import StorageError
from vibesweep.storage import StoragePath
from vibesweep.sweep.record import SweepFolder
from vibesweep.sweep.record.staged_folder import StagedFolder, staged_folder_for
from vibesweep.sweep.signals import STOPPING, ctrl_c_stops, sigterm_is_ctrl_c


@pytest.fixture
def away() -> SweepFolder:
    return SweepFolder(StoragePath.of(f"memory://{secrets.token_hex(4)}/sweeps/mine"))


def test_a_sweep_on_a_disk_is_written_there(tmp_path: Path) -> None:
    with staged_folder_for(SweepFolder(tmp_path / "mine"), pytest.fail) as staged:
        staged.folder.journal.write_bytes(b"x")
        staged.push()
    assert (tmp_path / "mine" / "study.journal").read_text() == "x"
    assert staged.scratch == tmp_path / "mine" / "ray"


def test_what_is_written_for_a_store_is_there_in_the_end_even_after_an_error(
    away: SweepFolder,
) -> None:
    with pytest.raises(FileNotFoundError), staged_folder_for(away, pytest.fail) as staged:
        write_and_fail(staged)
    assert away.record.read_bytes() == b"{}"
    assert not away.scratch.is_dir()
    assert not Path(str(staged.folder.place)).exists()


def write_and_fail(staged: StagedFolder) -> None:
    staged.folder.record.write_bytes(b"{}")
    staged.scratch.mkdir()
    (staged.scratch / "of_tune").write_text("x")
    (staged.scratch / "none").read_text()


@pytest.mark.parametrize("in_a_store", [False, True])
def test_a_sweep_that_is_resumed_finds_its_files_without_what_a_dead_process_left(
    tmp_path: Path, away: SweepFolder, in_a_store: bool
) -> None:
    sweep = away if in_a_store else SweepFolder(tmp_path / "mine")
    sweep.record.write_bytes(b"{}")
    sweep.events.write_bytes(b"one\ntwo\nthr")
    sweep.journal.write_bytes(b"asked\n")
    if not in_a_store:
        (tmp_path / "mine" / "study.journal.lock").symlink_to("study.journal")
    with staged_folder_for(sweep, pytest.fail, resume=True) as staged:
        assert staged.folder.events.read_bytes() == b"one\ntwo\n"
        assert staged.folder.journal.read_bytes() == b"asked\n"
        assert not Path(f"{staged.folder.journal}.lock").is_symlink()
        assert not sweep.record.is_file(), "the log counts again"
        staged.push()
        assert wait_until(lambda: sweep.events.read_bytes() == b"one\ntwo\n", 10.0)


def test_the_log_is_uploaded_last(away: SweepFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    uploaded: list[str] = []
    monkeypatch.setattr(StoragePath, "upload", lambda place, _: uploaded.append(place.name))
    with staged_folder_for(away, pytest.fail) as staged:
        for file in (staged.folder.events, staged.folder.journal, staged.folder.errors_of("sweep")):
            file.write_bytes(b"x")
    assert uploaded == ["sweep.txt", "study.journal", "events.jsonl"]


def test_a_store_that_is_lost_costs_nothing_that_was_written(
    away: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(place: StoragePath, source: Path) -> None:
        raise StorageError("no answer", where=str(place))

    monkeypatch.setattr(StoragePath, "upload", refuse)
    with pytest.raises(StorageError) as told, staged_folder_for(away, lambda line: None) as staged:
        staged.folder.record.write_bytes(b"{}")
    copy = Path(str(staged.folder.place))
    assert str(copy) in told.value.fix
    assert (copy / "sweep.json").read_bytes() == b"{}"


def test_sigterm_is_ctrl_c_for_the_time() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with sigterm_is_ctrl_c(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("blocked", [False, True])
def test_sigterm_goes_to_whoever_has_taken_ctrl_c_over(blocked: bool) -> None:
    """Also where SIGINT is blocked, as it is in the jobs of Ray."""
    heard: list[int] = []

    def take_over(number: int, frame: FrameType | None) -> None:
        heard.append(number)

    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT} if blocked else set())
    before = signal.signal(signal.SIGINT, take_over)
    with sigterm_is_ctrl_c():
        signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGINT, before)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    assert heard == [signal.SIGINT]


def test_sigterm_is_heard_where_ctrl_c_is_ignored() -> None:
    """As in a job that a shell runs in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    with sigterm_is_ctrl_c(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    signal.signal(signal.SIGINT, before)


def test_the_first_ctrl_c_stops_and_the_second_does_not_wait() -> None:
    before = signal.getsignal(signal.SIGINT)
    said: list[str] = []
    stopped = threading.Event()
    with ctrl_c_stops(said.append, stopped.set) as stopping:
        signal.raise_signal(signal.SIGINT)
        assert said == [STOPPING]
        assert stopped.wait(10.0)
        assert not stopping.now
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert stopping.now
    assert signal.getsignal(signal.SIGINT) is before

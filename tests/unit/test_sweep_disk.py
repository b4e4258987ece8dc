"""A sweep waits while its disk is nearly full, and goes on by itself. No Ray."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.disks import small_disk
from vibesweep.storage import StoragePath
from vibesweep.sweep.disk import WRITTEN_AT_A_TIME, DiskGuard
from vibesweep.sweep.record import SweepFolder

CHECKPOINT_BYTES = 10_000
LANES = 2
RESERVE_BYTES = int(WRITTEN_AT_A_TIME * LANES * CHECKPOINT_BYTES)


class Heard:
    """A guard, and what it has done and said."""

    def __init__(self, folder: SweepFolder) -> None:
        self.paused: list[bool] = []
        self.said: list[str] = []
        self.guard = DiskGuard(folder, LANES, self.paused.append, self.said.append)


def with_checkpoints(place: Path) -> SweepFolder:
    """Return a folder with two trials' checkpoints, of which one is small."""
    folder = SweepFolder(place)
    for name, size in (("trial_000", CHECKPOINT_BYTES), ("trial_001", 10)):
        (folder.checkpoints / name / "checkpoint.safetensors").write_bytes(bytes(size))
    return folder


def test_it_waits_for_room_and_goes_on(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kilobytes=2 * RESERVE_BYTES // 1_000) as disk:
        heard = Heard(with_checkpoints(disk / "mine"))
        heard.guard.look()
        assert heard.paused == []
        others = disk / "others"
        free = shutil.disk_usage(disk).free
        others.write_bytes(bytes(free - RESERVE_BYTES // 2))
        for _ in range(2):
            heard.guard.look()
            assert heard.paused == [True]
        assert f"the disk of {disk / 'mine'}" in heard.said[0]
        assert "make room, and it goes on by itself" in heard.said[0]
        others.write_bytes(bytes(free - int(1.1 * RESERVE_BYTES)))
        heard.guard.look()
        assert heard.paused == [True], "at the edge it would pause and go on all the time"
        others.unlink()
        heard.guard.look()
        assert heard.paused == [True, False]
        assert heard.said[1].startswith("going on: ")


def test_a_disk_that_is_too_small_is_not_waited_for(tmp_path: Path) -> None:
    """The sweep ends when it is full, and says so: no room that could be made would do."""
    with small_disk(tmp_path / "disk", kilobytes=RESERVE_BYTES // 2_000) as disk:
        heard = Heard(with_checkpoints(disk / "mine"))
        heard.guard.look()
    assert heard.paused == []


@pytest.mark.parametrize("address", ["memory://disk/mine", "{}/mine"])
def test_a_store_and_a_sweep_without_checkpoints_go_on(tmp_path: Path, address: str) -> None:
    folder = SweepFolder(StoragePath.of(address.format(tmp_path)))
    folder.events.write_bytes(b"")
    heard = Heard(folder)
    heard.guard.look()
    assert heard.paused == []

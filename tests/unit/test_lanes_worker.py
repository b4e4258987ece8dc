"""A lane's worker as it begins, and as a host of it is about to go. Ray is not brought up."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import tiny
from vibesweep.errors import ShardsError
from vibesweep.training.lanes import worker as worker_module
from vibesweep.training.lanes.worker import HostGoesError, LaneWorker

SEATS = 3


class Worker(LaneWorker):
    """Its first seat has left, its second saves its trial's state, its third has no trial."""

    _spec: Any

    def __init__(self) -> None:
        self._trials = SEATS
        self._busy_seats = 0
        self._changed = threading.Condition()
        self.second_is_busy = threading.Event()
        self.first_has_left = threading.Event()
        self.saved: list[int] = []

    def _run_seat(self, context: Any, seat: int) -> None:
        if seat == 0:
            self.second_is_busy.wait()
            self.first_has_left.set()
        elif seat == 1:
            with self._in_hand():
                self.second_is_busy.set()
                self.first_has_left.wait()
                self.saved.append(seat)
        else:
            threading.Event().wait()  # a command that never comes
        raise HostGoesError


def test_a_worker_ends_once_no_seat_has_a_trial_in_hand() -> None:
    worker = Worker()
    context: Any = None
    with pytest.raises(HostGoesError):
        worker.run_commands(context)
    assert worker.saved == [1]


def test_a_worker_opens_no_other_shards_than_its_sweep_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a lane does of which no worker can begin is seen in tests/ray/test_lane.py."""
    monkeypatch.setattr(worker_module, "_folders_of", lambda spec: [])
    monkeypatch.setattr(worker_module, "check_own_host", lambda folders: None)
    worker = Worker()
    shards = tiny.write_shards(tmp_path / "shards")
    worker._spec = SimpleNamespace(name="lane", shards=str(shards), shards_signature="before")
    context, refusal = worker._try_to_open()
    assert context is None
    assert refusal is not None
    assert isinstance(refusal.error, ShardsError)
    assert "have changed since the sweep began" in str(refusal.error)

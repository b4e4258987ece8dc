"""A store that refuses for a while is asked again; a disk is not."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import NoReturn

import pytest
import torch

from vibesweep.errors import DiskFullError, StorageError
from vibesweep.storage import StoragePath, patience
from vibesweep.storage.patience import patiently
from vibesweep.training.state.full_state import has_state, load_state, save_state


@pytest.fixture
def store() -> StoragePath:
    return StoragePath.of(f"memory://{secrets.token_hex(4)}/state")


@pytest.fixture
def slept_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let time pass without waiting; return the pauses that were made."""
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(slept))
    return slept


class Refusals:
    """Refuses some times, then works."""

    def __init__(self, times: int, error: Exception) -> None:
        self.left = times
        self.error = error

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise self.error
        return "done"


@pytest.mark.parametrize("error", [StorageError("503"), ConnectionResetError(104, "reset")])
def test_a_store_that_refuses_for_a_minute_is_waited_for(
    store: StoragePath, slept_s: list[float], error: Exception
) -> None:
    assert patiently(store, Refusals(12, error)) == "done"
    assert sum(slept_s) == 12 * patience.PAUSE_S


def test_one_that_goes_on_refusing_is_told_of(store: StoragePath, slept_s: list[float]) -> None:
    with pytest.raises(StorageError, match="503"):
        patiently(store, Refusals(10_000, StorageError("503")))
    assert sum(slept_s) == patience.PATIENCE_S


@pytest.mark.parametrize("error", [DiskFullError("full"), FileNotFoundError(2, "none")])
def test_an_answer_is_taken_for_one(
    store: StoragePath, slept_s: list[float], error: Exception
) -> None:
    with pytest.raises(type(error)):
        patiently(store, Refusals(1, error))
    assert slept_s == []


def test_a_disk_is_asked_once(tmp_path: Path, slept_s: list[float]) -> None:
    with pytest.raises(StorageError):
        patiently(StoragePath.of(tmp_path), Refusals(1, StorageError("read-only")))
    assert slept_s == []


def test_a_state_is_written_and_read_through_bad_minutes(
    store: StoragePath, slept_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store goes away in the middle: after the tensors, before what names them."""
    write_bytes = StoragePath.write_bytes
    read_bytes = StoragePath.read_bytes
    refusals = iter([True, True, False, True, False])

    def refuse() -> NoReturn:
        raise StorageError("503 slow down")

    def write(place: StoragePath, content: bytes) -> None:
        return refuse() if next(refusals) else write_bytes(place, content)

    def read(place: StoragePath) -> bytes:
        return refuse() if next(refusals) else read_bytes(place)

    monkeypatch.setattr(StoragePath, "write_bytes", write)
    monkeypatch.setattr(StoragePath, "read_bytes", read)
    save_state({"weights": torch.ones(3)}, str(store))
    assert has_state(str(store))
    assert torch.equal(load_state(str(store))["weights"], torch.ones(3))
    assert len(slept_s) == 3
    assert len(store.files()) == 2, "what was left of the first writing is gone"

"""What is asked of a running sweep from elsewhere: small files in its folder, which it looks for.

A file is heard wherever the folder is seen: from another terminal, another host, or through a
store. No ray is imported here.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from vibesweep.config import TrialSettings
from vibesweep.errors import SpaceError, SweepError
from vibesweep.storage import StoragePath
from vibesweep.storage.json_text import parse_json
from vibesweep.sweep.record.events import CloneAsked


class Wish(StrEnum):
    """What may be asked. Files hold these words."""

    STOP = "stop"
    """End the sweep as Ctrl-C does; or one trial, at its next report."""
    PAUSE = "pause"
    """Let no lane go on after its next report."""
    GO_ON = "go_on"
    """Go on after a pause."""
    CLONE = "clone"
    """Train one trial on as a further one too, with other settings."""


@dataclass(frozen=True)
class Request:
    """One thing that is asked.

    Attributes:
        wish: what is to be done.
        trial: id of the trial that is meant; empty where the whole sweep is.
        clone: the further trial, where one is wanted.
    """

    wish: Wish
    trial: str = ""
    clone: CloneAsked | None = None


class Requests:
    """The folder of requests of one sweep."""

    def __init__(self, place: StoragePath) -> None:
        """Look at this folder, which need not be there."""
        self._place = place

    def put(self, request: Request) -> None:
        """Leave a request for the process that runs the sweep.

        Raises:
            StorageError: the folder cannot be written to.
        """
        file = self._place / f"{time.time_ns()}.json"
        file.write_bytes(json.dumps(asdict(request)).encode())

    def waiting(self) -> bool:
        """Tell whether a request has not been taken yet."""
        return bool(self._files())

    def take(self) -> list[Request]:
        """Take all requests away, in the order in which they were left.

        Raises:
            SweepError: one cannot be read; it is taken away too.
            StorageError: the store cannot be reached.
        """
        taken = []
        for file in self._files():
            content = file.read_bytes()
            file.remove()
            taken.append(_request_of(file, content))
        return taken

    def clear(self) -> None:
        """Forget what was asked of a process that is gone."""
        self._place.remove()

    def _files(self) -> list[StoragePath]:
        found = [file.name for file in self._place.files()]
        return [self._place / name for name in found if not name.startswith(".")]


def _request_of(file: StoragePath, content: bytes) -> Request:
    try:
        values = parse_json(content)
        wish = Wish(values["wish"])
        clone = _clone_of(values["clone"]) if wish is Wish.CLONE else None
        return Request(wish, str(values["trial"]), clone)
    except (ValueError, KeyError, TypeError, SpaceError) as error:
        found = f"a request cannot be read: {error}"
        fix = "ask with the verbs stop, pause and clone"
        raise SweepError(found, where=str(file), fix=fix) from error


def _clone_of(values: dict[str, Any]) -> CloneAsked:
    """Make the clone that is asked for; its settings are such as a trial can have."""
    clone = CloneAsked(**values)
    TrialSettings(**clone.settings)
    return clone

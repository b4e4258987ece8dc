"""Every error a user can meet: what was found, where, and what to do about it.

The command line prints one line and exits with 2 for any of them; whatever is not one of them is our own mistake and keeps its
traceback. They cross process borders, so they pickle.
"""

from __future__ import annotations

from typing import Any

TOKEN_FIX = "set RAY_AUTH_MODE=token, and have the cluster's token in ~/.ray/auth_token or its file's path in RAY_AUTH_TOKEN_PATH"
"""For what a cluster says to whoever comes without."""


class VibesweepError(Exception):
    """A case that the user can mend.

    Args:
        found: what was found, as a clause without a full stop.
        where: the file, row or option it was found in.
        fix: what to do about it, as an instruction.
    """

    def __init__(self, found: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(found)
        self.found = found
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        """One line: where, found, fix."""
        place = f"{self.where}: " if self.where else ""
        advice = f" {self.fix[0].upper()}{self.fix[1:]}." if self.fix else ""
        return f"{place}{self.found}.{advice}"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle with the keyword-only parts, which ``BaseException`` would drop."""
        return _rebuild, (type(self), self.found, self.where, self.fix)


def _rebuild(kind: type[VibesweepError], found: str, where: str, fix: str) -> VibesweepError:
    return kind(found, where=where, fix=fix)


class StorageError(VibesweepError):
    """A path or URI that cannot be reached."""


class CorpusError(VibesweepError):
    """The recordings, their metadata or their texts."""


class ShardsError(VibesweepError):
    """A folder of Parquet shards, or one that does not fit the model."""


class SpaceError(VibesweepError):
    """A search-space file or what it defines."""


class SweepError(VibesweepError):
    """A sweep's folder or its name."""


class ResourceError(VibesweepError):
    """More asked of the cluster than it has."""


class ClusterError(VibesweepError):
    """A Ray cluster or its job server that cannot be reached, or a sweep that was handed to it."""


class ModelError(VibesweepError):
    """A base, a checkpoint or a bundle that cannot be used, or settings it cannot take."""


class TrialError(VibesweepError):
    """A trial that could not be run to its end."""


class SpeechError(VibesweepError):
    """A text that cannot be spoken."""

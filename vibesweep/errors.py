"""The errors that a user can mend: each says what was found, where, and what to do about it.

The command line prints one line for any of them and exits with 2. Every other exception is our own
mistake and keeps its traceback. These errors cross process borders, so they can be pickled.
"""

from __future__ import annotations

from typing import Any

TOKEN_FIX = (
    "set RAY_AUTH_MODE=token, and have the cluster's token in ~/.ray/auth_token "
    "or its file's path in RAY_AUTH_TOKEN_PATH"
)
"""What to do when a cluster refuses a connection that brings no token."""


class VibesweepError(Exception):
    """An error that the user can mend.

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
        """Return one line: where, what was found, and what to do."""
        line = f"{self.found}."
        if self.where:
            line = f"{self.where}: {line}"
        if self.fix:
            first_letter = self.fix[0].upper()
            line = f"{line} {first_letter}{self.fix[1:]}."
        return line

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the keyword arguments too, which ``BaseException`` would drop."""
        return _rebuild, (type(self), self.found, self.where, self.fix)


def _rebuild(kind: type[VibesweepError], found: str, where: str, fix: str) -> VibesweepError:
    return kind(found, where=where, fix=fix)


class StorageError(VibesweepError):
    """A path or URI cannot be reached."""


class DiskFullError(StorageError):
    """A disk has no room for what is to be written."""


class CorpusError(VibesweepError):
    """Recordings, their metadata or their texts cannot be used."""


class ShardsError(VibesweepError):
    """A folder of Parquet shards cannot be used, or does not fit the model."""


class SpaceError(VibesweepError):
    """A search-space file, or what it defines, is wrong."""


class CombinationError(SpaceError):
    """Settings that are sound one by one and do not go together."""


class SweepError(VibesweepError):
    """A sweep's folder or name cannot be used."""


class ResourceError(VibesweepError):
    """More was asked of the cluster than it has."""


class ClusterError(VibesweepError):
    """A Ray cluster or its job server cannot be reached, or does not run the sweep."""


class ModelError(VibesweepError):
    """A base, a checkpoint or a bundle cannot be used, or does not take the settings."""


class TrialError(VibesweepError):
    """A trial could not be run to its end."""


class SpeechError(VibesweepError):
    """A text cannot be spoken."""

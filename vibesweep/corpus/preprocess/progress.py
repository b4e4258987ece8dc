"""How encoding gets on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vibesweep.progress import telling

if TYPE_CHECKING:
    from vibesweep.corpus.preprocess.parts import PartSummary


@dataclass(frozen=True)
class Encoded:
    """How far a run is.

    Attributes:
        recordings: how many are encoded or rejected, in this run or before.
        of: number of all recordings.
        speech_s: seconds of speech that this run has encoded.
    """

    recordings: int
    of: int
    speech_s: float = 0.0

    def plus(self, part: PartSummary) -> Encoded:
        """Add one more part."""
        return Encoded(self.recordings + part.recordings, self.of, self.speech_s + part.speech_s)


@contextmanager
def shown() -> Iterator[Callable[[Encoded], None]]:
    """Yield a function that shows recordings, hours of speech a minute and the time left."""
    with telling("encoding", "recordings") as tell:
        began_s = time.monotonic()

        def show(encoded: Encoded) -> None:
            minutes = max(time.monotonic() - began_s, 1e-3) / 60
            hours = encoded.speech_s / 3_600
            speed = f"{hours:.2f} h of speech, {hours / minutes:.2f} h a minute"
            tell(encoded.recordings, encoded.of, speed)

        yield show

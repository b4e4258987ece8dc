"""How recordings become shards."""

from __future__ import annotations

from dataclasses import dataclass

from vibesweep.config.checks import Range, Ranges, check_ranges, check_types
from vibesweep.errors import CorpusError

SPLIT_BY = ("recording", "speaker")
EDGE_SILENCE_S = 1.0
"""Longer silence at an end of a clip is no pause for breath."""

MEL_RANGES: Ranges = (
    (Range(lambda value: 4_000 <= value <= 768_000, "4000 to 768000"), ("sample_rate_hz",)),
    (Range(lambda value: 16 <= value <= 1 << 16, "16 to 65536"), ("n_fft", "hop_samples")),
    (Range(lambda value: 1 <= value <= 1_024, "1 to 1024"), ("n_mels",)),
    (Range(lambda value: -100 <= value <= 0, "-100 to 0"), ("level_dbfs",)),
)
"""Telephones have 8 kHz, the fastest converters 768 kHz."""


@dataclass(frozen=True)
class MelSettings:
    """How recordings become log-mels.

    The defaults give 75 frames a second, ten for each of VibeVoice's 7.5 latents a second.
    """

    sample_rate_hz: int = 24_000
    n_fft: int = 1_024
    hop_samples: int = 320
    n_mels: int = 80
    level_dbfs: float = -25.0

    def __post_init__(self) -> None:
        """Refuse values with which no log-mel can be made; a bundle may bring them.

        Raises:
            SpaceError: there is one.
        """
        check_types(self)
        check_ranges(self, MEL_RANGES)


@dataclass(frozen=True)
class CorpusSettings:
    """How a corpus becomes shards, whatever the model family.

    Attributes:
        max_duration_s: longer recordings are cut between turns.
        max_edge_silence_s: longer silence at either end of a clip is cut to half a second; infinity
            keeps all of it.
        split_by: ``recording`` or ``speaker``: the unit that is never on both sides of the split.
        val_fraction: share of the recordings, or speakers, that is held out for validation.
        val_ids: recordings, or speakers, to hold out instead of a share.
        seed: seed of the choice of that share.
        max_reject_fraction: a larger share of unusable recordings is an error.
        columns: what the columns of the table hold, where that cannot be seen.
    """

    max_duration_s: float = 300.0
    max_edge_silence_s: float = EDGE_SILENCE_S
    split_by: str = "recording"
    val_fraction: float = 0.1
    val_ids: tuple[str, ...] = ()
    seed: int = 0
    max_reject_fraction: float = 0.2
    columns: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values that no corpus can be made with."""
        if self.split_by not in SPLIT_BY:
            fix = f"choose one of {', '.join(SPLIT_BY)}"
            raise CorpusError(f"there is no split by {self.split_by!r}", where="split_by", fix=fix)
        if not self.max_duration_s > 0:
            found = f"max_duration_s is {self.max_duration_s}"
            raise CorpusError(found, where="max_duration_s", fix="choose more than 0 s")
        if not self.max_edge_silence_s >= 0:
            found = f"max_edge_silence_s is {self.max_edge_silence_s}"
            raise CorpusError(found, where="max_edge_silence_s", fix="choose 0 s or more")
        for name in ("val_fraction", "max_reject_fraction"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise CorpusError(f"{name} is {share}", where=name, fix="choose 0 to 1")

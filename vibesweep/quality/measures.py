"""The figures that are measured in speech, by name. Nothing here imports what measures ours.

A measure of another package is found by an entry point of the group ``vibesweep.measures`` whose
name is the measure's and whose value is its scorer's class.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from vibesweep.errors import ModelError

ENTRY_POINTS = "vibesweep.measures"


@dataclass(frozen=True)
class Measure:
    """One figure that is measured.

    Attributes:
        name: in files.
        title: in tables.
        ideal: the best value there is; the farther from it, the worse.
        meaning: in a few words.
        ranks: whether it was found to rank voices, so that it counts in a verdict.
    """

    name: str
    title: str
    ideal: float
    meaning: str
    ranks: bool = True

    def distance(self, value: float) -> float:
        """Return how far a value is from the best."""
        return abs(value - self.ideal)


MCD = Measure("mcd_db", "MCD dB", 0.0, "mel-cepstral distortion along the path of DTW")
DURATION_RATIO = Measure(
    "duration_ratio", "length", 1.0, "length, divided by the recording's", ranks=False
)
STOP_ERROR = Measure("stop_error_latents", "stop", 0.0, "latents too many or too few")
RAN_ON = Measure("ran_on", "ran on", 0.0, "share of texts that only the limit on length ended")
LOG_F0 = Measure(
    "log_f0_rmse", "log F0", 0.0, "RMS difference of ln(F0) where both are voiced", ranks=False
)
VOICING = Measure(
    "voicing_error", "V/UV", 0.0, "share of frames that only one of both voices", ranks=False
)
IDENTIFIED = Measure("identified", "identified", 1.0, "share of texts told from the others")
WORD_ERROR = Measure("word_error", "word error", 0.0, "words wrong, missing or too many, a word")
DNSMOS = Measure(
    "dnsmos", "DNSMOS", 5.0, "opinion score from 1 to 5, guessed by a network", ranks=False
)
SIMILARITY = Measure("speaker_similarity", "speaker", 1.0, "cosine of two speaker embeddings")

MEASURES = {
    measure.name: measure
    for measure in (
        MCD,
        DURATION_RATIO,
        STOP_ERROR,
        RAN_ON,
        LOG_F0,
        VOICING,
        IDENTIFIED,
        WORD_ERROR,
        DNSMOS,
        SIMILARITY,
    )
}
"""Those that vibesweep measures itself."""


def measure_named(name: str) -> Measure:
    """Return a measure of vibesweep's, or of a package that is installed.

    Raises:
        ModelError: there is none of this name.
    """
    if name in MEASURES:
        return MEASURES[name]
    measures: tuple[Measure, ...] = scorer_class(name).measures
    for measure in measures:
        if measure.name == name:
            return measure
    raise ModelError("its scorer has no measure of this name", where=name)


@functools.cache
def scorer_class(name: str) -> Any:
    """Return the class that measures a figure of another package's.

    Raises:
        ModelError: no package that is installed declares it, or its class cannot be imported.
    """
    declared = entry_points(group=ENTRY_POINTS, name=name)
    if not declared:
        known = ", ".join(MEASURES)
        fix = f"choose among {known}, or install the package that declares it"
        raise ModelError(f"there is no measure {name!r}", where=name, fix=fix)
    (first, *_) = declared
    try:
        return first.load()
    except (ImportError, AttributeError) as error:
        found = f"the scorer cannot be imported: {error}"
        raise ModelError(found, where=first.value, fix="mend or uninstall its package") from error


def declared_names() -> tuple[str, ...]:
    """Return the names of the measures that other packages declare."""
    return tuple(sorted(entry_points(group=ENTRY_POINTS).names))

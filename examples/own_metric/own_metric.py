"""A metric of one's own: how much of the speech is silence, beside the person's recording.

    pip install -e examples/own_metric       # its entry point makes vibesweep find the measure
    vibesweep run examples/own_metric/space.py
    vibesweep evaluate mel-small my_recordings

Installed on all hosts, it may be a sweep's objective or one of its limits, and it listens wherever
vibesweep does. `evaluate --scorer own_metric:Pauses=PATH` takes a class that is not installed, and
hands it a model: a learned judge loads its weights from there.
"""

import numpy as np

from vibesweep.quality.measures import Measure
from vibesweep.quality.scorer import Passage, Sound

RATE_HZ = 16_000
FRAME = 320  # samples, 20 ms
SILENCE_DB = -40.0  # below the loudest frame


class Pauses:
    """Compares shares of silence."""

    measures = (
        Measure("pauses", "pauses", 0.0, "share of silence, less the recording's", ranks=False),
    )

    def __init__(self, model: str) -> None:
        """Take the path of a model, empty where none is named; silence needs none."""

    def score(self, spoken: Sound, passage: Passage) -> dict[str, float]:
        """Return the difference of both shares, from -1 to 1; a tenth is much."""
        own, persons = silent_share(spoken), silent_share(passage.recording)
        return {"pauses": own - persons}


def silent_share(sound: Sound) -> float:
    """Return which share of a sound's frames is silent."""
    samples = sound.at(RATE_HZ)
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    levels = np.sqrt(np.square(frames).mean(1)) + 1e-9
    decibels = 20 * np.log10(levels / levels.max())
    return float((decibels < SILENCE_DB).mean())

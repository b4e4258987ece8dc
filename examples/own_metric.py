"""A metric of one's own: how much of the speech is silence, beside the person's recording.

    vibesweep evaluate mel-tiny my_recordings --scorer own_metric:Pauses

It is typed in the folder of this file, or with it on PYTHONPATH. Behind the class's name,
`=PATH` hands it a model: a learned judge loads its weights from there.
"""

import numpy as np

from vibesweep.quality.measures import Measure
from vibesweep.quality.scorer import Passage, Sound

RATE_HZ = 16_000
FRAME = 320  # samples, 20 ms
SILENCE_DB = -40.0  # below the loudest frame


class Pauses:
    """Compares shares of silence."""

    measures = (Measure("pauses", "pauses", 0.0, "silence, less the recording's: a share of all"),)

    def __init__(self, model: str) -> None:
        """Take the path of a model, which silence needs none of."""

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

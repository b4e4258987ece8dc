"""Who speaks: each person is a teacher's voice, changed, over a channel of their own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from examples.base.channels import Channel
from vibesweep.corpus.demo import BASE_VOICES

FLITE_VOICES = ("awb", "rms", "slt")
SHARES = {"hibari": 0.5, "flite": 0.27, "espeak": 0.23}
"""How many of the English speakers have which teacher."""
MEN = 0.5


@dataclass(frozen=True)
class Person:
    """A speaker.

    Attributes:
        name: unique.
        teacher: who is asked to speak.
        voice: which of the teacher's voices.
        pitch: factor on the voice's pitch.
        intonation: factor on how far its pitch moves.
        formants: factor on the frequencies of its formants: a shorter or longer vocal tract.
        breath: added to the logarithm of the noise in the voice.
        tempo: factor on its rate.
        channel: over which it is heard.
    """

    name: str
    teacher: str
    voice: str
    pitch: float
    intonation: float
    formants: float
    breath: float
    tempo: float
    channel: Channel


def draw_person(number: int, language: str, teachers: tuple[str, ...]) -> Person:
    """Make up the person of a number, always the same one.

    Args:
        number: of the person.
        language: ``en``, or ``zh``, which eSpeak NG alone speaks.
        teachers: those that are installed.
    """
    rng = np.random.default_rng([number, len(language)])
    shares = np.array([SHARES[name] for name in teachers])
    teacher = "espeak"
    if language == "en":
        teacher = str(rng.choice(teachers, p=shares / shares.sum()))
    is_man = rng.random() < MEN
    size = rng.uniform(-1, 1)
    pitch, formants = 1.0, 1.0
    voice = "heart"
    if teacher == "hibari":
        # The voice is a woman's: a man's tract is some 15 % longer, his pitch a little over half
        pitch = rng.uniform(0.48, 0.72) if is_man else rng.uniform(0.82, 1.3)
        formants = (0.87 if is_man else 1.02) * (1 + 0.07 * size)
    elif teacher == "flite":
        voice = str(rng.choice(FLITE_VOICES))
        formants = 1 + 0.12 * size
    else:
        voices = [voice.name for voice in BASE_VOICES if voice.language == language]
        voice = str(rng.choice(voices))
    return Person(
        name=f"{teacher}-{voice}-{number}",
        teacher=teacher,
        voice=voice,
        pitch=float(pitch),
        intonation=float(rng.uniform(0.6, 1.5)),
        formants=float(formants),
        breath=float(rng.uniform(-0.3, 0.8)),
        tempo=float(rng.uniform(0.82, 1.22)),
        channel=Channel.draw(rng),
    )

"""How a voice is recorded: microphone, room, band and noise.

Shapes: ``S`` samples, ``F`` frequencies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vibesweep.corpus.sound.arrays import Floats, Samples

RATE_HZ = 24_000
OCTAVES = np.log2(RATE_HZ / 2 / 60)
"""From 60 Hz, where a colouring starts, to the highest frequency."""
COLOUR_POINTS = 256
"""The response is worked out at so many frequencies, and is a straight line between them."""
ROLL_OFF_HZ = 150.0
FAST_SIZE = 4_800
"""Transforms are of multiples of this size: of a large prime's, they take ten times as long."""


@dataclass(frozen=True)
class Channel:
    """A microphone in a room.

    Attributes:
        colour_db: heights of the first waves, over the octaves, of the microphone's response.
        highest_hz: where its band ends.
        echo_s: how long the room takes to fall by 60 dB; 0 where it has no echo.
        echo_db: level of the echo, against the voice.
        noise_db: level of the noise, against the speech.
        seed: of the room's echoes.
    """

    colour_db: tuple[float, ...]
    highest_hz: float
    echo_s: float
    echo_db: float
    noise_db: float
    seed: int

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Channel:
        """Draw one: half of them dry, two in five with a band up to 8 kHz."""
        colour = rng.normal(0, (4.0, 2.5, 2.0, 1.5, 1.0))
        highest = rng.uniform(7_000, 8_000) if rng.random() < 0.4 else rng.uniform(10_000, 12_000)
        dry = rng.random() < 0.5
        return cls(
            colour_db=tuple(float(height) for height in colour),
            highest_hz=float(highest),
            echo_s=0.0 if dry else float(rng.uniform(0.1, 0.5)),
            echo_db=float(rng.uniform(-24, -12)),
            noise_db=float(rng.uniform(-75, -30)),
            seed=int(rng.integers(1 << 30)),
        )

    def heard(self, samples: Samples) -> Samples:
        """Return what the microphone hears of a voice [S], without noise."""
        echo = round(self.echo_s * RATE_HZ)
        size = _fast_size(len(samples) + echo)
        spectrum = np.fft.rfft(samples, size)
        spectrum *= self._response(np.fft.rfftfreq(size, 1 / RATE_HZ))
        if echo:
            spectrum *= 1 + np.fft.rfft(self._echoes(echo), size)
        heard: Samples = np.fft.irfft(spectrum, size)[: len(samples)].astype(np.float32)
        return heard

    def noise(self, samples: Samples, rng: np.random.Generator) -> Samples:
        """Return noise [S] for speech [S]: coloured, and as much below it as the channel says."""
        size = _fast_size(len(samples))
        spectrum = np.fft.rfft(rng.standard_normal(size))
        frequencies = np.fft.rfftfreq(size, 1 / RATE_HZ)
        pink = 1 / np.sqrt(np.maximum(frequencies, 100.0) / 100)
        spectrum *= pink * self._response(frequencies)
        noise = np.fft.irfft(spectrum, size)[: len(samples)]
        level = np.sqrt(np.mean(np.square(samples))) * 10 ** (self.noise_db / 20)
        scaled: Samples = (noise * level / np.sqrt(np.mean(np.square(noise)))).astype(np.float32)
        return scaled

    def _response(self, frequencies: Floats) -> Floats:
        """Return the microphone's response [F]."""
        grid = np.linspace(0, 1, COLOUR_POINTS)
        waves = [np.cos(np.pi * number * grid) for number in range(1, len(self.colour_db) + 1)]
        colour = np.array(self.colour_db) @ np.array(waves)
        place = np.log2(np.maximum(frequencies, 60.0) / 60) / OCTAVES
        decibels = np.interp(place, grid, colour)
        band = 1 / (1 + np.exp((frequencies - self.highest_hz) / ROLL_OFF_HZ))
        response: Floats = 10 ** (decibels / 20) * band
        return response

    def _echoes(self, length: int) -> Floats:
        """Return the room's echoes [S]: noise that dies away."""
        rng = np.random.default_rng(self.seed)
        decay = 10 ** (-3 * np.arange(length) / length)
        echoes = rng.standard_normal(length) * decay
        loudness: Floats = echoes * 10 ** (self.echo_db / 20) / np.sqrt(np.sum(echoes**2))
        return loudness


def _fast_size(samples: int) -> int:
    return -(-samples // FAST_SIZE) * FAST_SIZE

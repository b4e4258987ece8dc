"""The arithmetic of sample rates and hops: samples, frames, patches and seconds."""

from __future__ import annotations

from vibesweep.config import MelSettings

LATENT_RATE_HZ = 7.5
"""Latents a second of VibeVoice, and of every family here."""

FRAMES_PER_PATCH = 10  # at the default settings 7.5 patches a second, VibeVoice's rate


def frames_of(samples: int, settings: MelSettings) -> int:
    """Count the whole mel frames in a number of samples at the settings' rate."""
    return samples // settings.hop_samples


def seconds_of(frames: float, settings: MelSettings) -> float:
    """Convert a number of frames to seconds."""
    return frames * settings.hop_samples / settings.sample_rate_hz


def frame_rate_hz(settings: MelSettings) -> float:
    """Return the number of mel frames in a second."""
    return settings.sample_rate_hz / settings.hop_samples


def patch_rate_hz(settings: MelSettings) -> float:
    """Return the number of patches in a second; each patch becomes one latent."""
    return frame_rate_hz(settings) / FRAMES_PER_PATCH

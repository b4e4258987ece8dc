"""Clips with the features of a VibeVoice checkpoint: made-up features, true scripts, no encoder."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tests import tiny
from vibesweep.corpus.shards.manifest import EncoderRecord, write_manifest
from vibesweep.corpus.shards.schema import Clip, ClipTurn
from vibesweep.models.vibevoice.checkpoint import Checkpoint
from vibesweep.models.vibevoice.encoder import ACOUSTIC, COLUMNS, SEMANTIC
from vibesweep.models.vibevoice.features import Features

LATENT_SIZE = 64
SEMANTIC_SIZE = 128
HOP_SAMPLES = 3_200
RATE_HZ = 7.5
SILENCE_LATENTS = 15
SIDECAR = "sidecar-0123456789ab.safetensors"
WORDS = ("Good morning.", "It works.", "Did you sleep well?", "很好，谢谢。", "Speak, then.")


def clips(count: int, seed: int = 0) -> list[Clip]:
    """Make clips of two people, one to two seconds long.

    The features of a person's turn lie about that person's mean.
    """
    rng = np.random.default_rng(seed)
    return [_clip(number, rng) for number in range(count)]


def _clip(number: int, rng: np.random.Generator) -> Clip:
    people = (f"p{number % 3}", f"q{number % 2}")
    halves = rng.integers(5, 9, 2)
    seconds = halves / RATE_HZ
    turns = []
    for tag, person, start, length in zip("AB", people, (0.0, seconds[0]), seconds, strict=True):
        turn = ClipTurn(
            tag=f"SPEAKER_{tag}",
            speaker=person,
            language="en",
            text=str(rng.choice(WORDS)),
            start_s=start,
            end_s=start + length,
            timed=True,
        )
        turns.append(turn)
    acoustic = _voices(people, halves, LATENT_SIZE, 5.0, rng)
    semantic = _voices(people, halves, SEMANTIC_SIZE, 1.0, rng)
    return Clip(
        id=f"clip{number:03d}",
        split="val" if number % 5 == 4 else "train",
        duration_s=float(seconds.sum()),
        patches=len(acoustic),
        tokens=60,
        turns=tuple(turns),
        columns={ACOUSTIC: acoustic.reshape(-1), SEMANTIC: semantic.reshape(-1)},
    )


def _voices(
    people: tuple[str, ...],
    counts: npt.NDArray[np.int64],
    size: int,
    spread: float,
    rng: np.random.Generator,
) -> npt.NDArray[np.float16]:
    """Make features [patches, size] of all people, one after the other."""
    parts = []
    for person, count in zip(people, counts, strict=True):
        mean = np.random.default_rng(list(person.encode())).normal(0, spread, size)
        parts.append(mean + rng.normal(0, spread / 4, (int(count), size)))
    return np.concatenate(parts).astype(np.float16)


def write_shards(
    folder: Path, checkpoint: Path, count: int = 20, made: list[Clip] | None = None
) -> Path:
    """Write such clips as a folder of shards whose features are said to be this checkpoint's."""
    written = clips(count) if made is None else made
    files = tiny.write_clips(folder, written, COLUMNS)
    silence = Features(
        np.zeros((SILENCE_LATENTS, LATENT_SIZE), np.float16),
        np.zeros((SILENCE_LATENTS, SEMANTIC_SIZE), np.float16),
    )
    (folder / SIDECAR).write_bytes(silence.to_bytes())
    train = [clip.columns[ACOUSTIC] for clip in written if clip.split == "train"]
    values = np.concatenate(train).astype(np.float64)
    moments = {ACOUSTIC: {"mean": float(values.mean()), "std": float(values.std())}}
    encoder = EncoderRecord(
        family="vibevoice",
        name=f"vibevoice:{checkpoint}",
        fingerprint="made up",
        summary="made up",
        settings={
            "encoders": Checkpoint.open(str(checkpoint)).fingerprint,
            "latent_size": LATENT_SIZE,
            "semantic_size": SEMANTIC_SIZE,
            "hop_samples": HOP_SAMPLES,
        },
        picture=(ACOUSTIC, LATENT_SIZE),
        moments=moments,
        sidecar=SIDECAR,
    )
    write_manifest(folder, dataclasses.replace(tiny.manifest(*files), encoder=encoder))
    return folder

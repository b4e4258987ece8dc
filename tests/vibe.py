"""Clips with the features of a VibeVoice checkpoint that tests share: made-up features, true scripts, no encoder and no Ray."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from tests import tiny
from vibesweep.corpus.shards.features import Features
from vibesweep.corpus.shards.manifest import FeatureRecord, ShardFile, write_manifest
from vibesweep.corpus.shards.schema import ROW_SCHEMA, Clip, ClipTurn
from vibesweep.models.vibevoice.checkpoint import Checkpoint

LATENT_SIZE, SEMANTIC_SIZE, HOP_SAMPLES, RATE_HZ = 64, 128, 3_200, 7.5
SILENCE_LATENTS = 15
WORDS = ("Good morning.", "It works.", "Did you sleep well?", "很好，谢谢。", "Speak, then.")


def rows(count: int, seed: int = 0) -> list[Clip]:
    """Clips of two people, one to two seconds long; the features of a person's turn lie about that person's mean."""
    rng = np.random.default_rng(seed)
    return [_row(number, rng) for number in range(count)]


def _row(number: int, rng: np.random.Generator) -> Clip:
    people, halves = (f"p{number % 3}", f"q{number % 2}"), rng.integers(5, 9, 2)
    seconds = halves / RATE_HZ
    turns = tuple(
        ClipTurn(
            f"SPEAKER_{tag}", person, "en", str(rng.choice(WORDS)), (), start, start + length, True
        )
        for tag, person, start, length in zip("AB", people, (0.0, seconds[0]), seconds, strict=True)
    )
    acoustic = np.concatenate(
        [
            _voice(person, int(half), LATENT_SIZE, 5.0, rng)
            for person, half in zip(people, halves, strict=True)
        ]
    )
    semantic = np.concatenate(
        [
            _voice(person, int(half), SEMANTIC_SIZE, 1.0, rng)
            for person, half in zip(people, halves, strict=True)
        ]
    )
    split = "val" if number % 5 == 4 else "train"
    empty = np.zeros((0, 0), np.float16)
    return Clip(
        f"clip{number:03d}", split, float(seconds.sum()), empty, turns, (), acoustic, semantic, 60
    )


def _voice(
    person: str, count: int, size: int, spread: float, rng: np.random.Generator
) -> npt.NDArray[np.float16]:
    mean = np.random.default_rng(list(person.encode())).normal(0, spread, size)
    return (mean + rng.normal(0, spread / 4, (count, size))).astype(np.float16)


def write_shards(
    folder: Path, checkpoint: Path, count: int = 20, clips: list[Clip] | None = None
) -> Path:
    """Write such clips as a folder of shards whose features are said to be this checkpoint's."""
    folder.mkdir(parents=True)
    made = rows(count) if clips is None else clips
    files = []
    for split in ("train", "val"):
        part = [row for row in made if row.split == split]
        name = f"{split}-00000.parquet"
        pq.write_table(
            pa.Table.from_pylist([_plain(row) for row in part], schema=ROW_SCHEMA), folder / name
        )
        files.append(ShardFile(name, split, len(part), 0))
    zeros = Features(
        np.zeros((SILENCE_LATENTS, LATENT_SIZE), np.float16),
        np.zeros((SILENCE_LATENTS, SEMANTIC_SIZE), np.float16),
    )
    (folder / "silence.safetensors").write_bytes(zeros.to_bytes())
    values = np.concatenate(
        [
            row.acoustic.astype(np.float64)
            for row in made
            if row.split == "train" and row.acoustic is not None
        ]
    )
    opened = Checkpoint.open(str(checkpoint))
    record = FeatureRecord(
        model=f"vibevoice:{checkpoint}",
        fingerprint=opened.fingerprint,
        latent_size=LATENT_SIZE,
        semantic_size=SEMANTIC_SIZE,
        hop_samples=HOP_SAMPLES,
        mean=float(values.mean()),
        std=float(values.std()),
        silence="silence.safetensors",
    )
    write_manifest(folder, dataclasses.replace(tiny.manifest(*files), features=record))
    return folder


def _plain(row: Clip) -> dict[str, object]:
    assert row.acoustic is not None
    assert row.semantic is not None
    return {
        "id": row.id,
        "split": row.split,
        "duration_s": row.duration_s,
        "frames": 0,
        "mel": b"",
        "turns": [dataclasses.asdict(turn) for turn in row.turns],
        "voice_prompts": [],
        "latents": len(row.acoustic),
        "tokens": row.tokens,
        "acoustic": row.acoustic.tobytes(),
        "semantic": row.semantic.tobytes(),
    }

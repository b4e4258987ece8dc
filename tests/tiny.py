"""Small things that tests share: shards of made-up mels, and a base of a few thousand weights.

No Ray and no speech; each takes milliseconds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from vibesweep.config import MelSettings
from vibesweep.corpus.shards.manifest import Manifest, ShardFile, write_manifest
from vibesweep.corpus.shards.schema import ROW_SCHEMA, Clip, ClipTurn
from vibesweep.corpus.shards.statistics import Moments
from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.models.bundle import save_bundle
from vibesweep.models.mel.model import MelModel, MelShape
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

MEL = MelSettings()
SYMBOLS = tuple("abcdefg ")
SHAPE = MelShape(
    hidden_size=32,
    layers=2,
    heads=2,
    kv_heads=1,
    ffn_size=48,
    head_layers=1,
    latent_size=8,
    max_positions=256,
)


def rows(count: int, seed: int = 0) -> list[Clip]:
    """Make clips of two people each, about two seconds long.

    Their mels are smooth noise that depends on the phonemes.
    """
    rng = np.random.default_rng(seed)
    return [_row(number, rng) for number in range(count)]


def _row(number: int, rng: np.random.Generator) -> Clip:
    frames = int(rng.integers(90, 260))
    phonemes = [tuple(rng.choice(SYMBOLS, int(rng.integers(4, 12)))) for _ in range(2)]
    tone = np.array([sum(map(ord, part)) % 7 for part in phonemes], dtype=np.float32)
    level = np.repeat(tone, [frames // 2, frames - frames // 2])[:, None]
    noise = rng.normal(0, 0.3, (frames, MEL.n_mels))
    mel = (level * np.linspace(-1, 0, MEL.n_mels) + noise).astype(np.float16)
    seconds = frames / 75
    turns = (
        _turn("A", f"p{number % 3}", phonemes[0], 0, seconds / 2),
        _turn("B", f"q{number % 2}", phonemes[1], seconds / 2, seconds),
    )
    split = "val" if number % 5 == 4 else "train"
    return Clip(f"clip{number:03d}", split, seconds, mel, turns)


def _turn(
    tag: str, person: str, phonemes: tuple[str, ...], start_s: float, end_s: float
) -> ClipTurn:
    return ClipTurn(f"SPEAKER_{tag}", person, "en", "words", phonemes, start_s, end_s, True)


def write_shards(folder: Path, count: int = 30) -> Path:
    """Write clips of :func:`rows` as a folder of shards."""
    folder.mkdir(parents=True)
    clips = rows(count)
    files = []
    for split in ("train", "val"):
        part = [row for row in clips if row.split == split]
        name = f"{split}-00000.parquet"
        table = pa.Table.from_pylist([as_dict(row) for row in part], schema=ROW_SCHEMA)
        pq.write_table(table, folder / name)
        files.append(ShardFile(name, split, len(part), sum(len(row.mel) for row in part)))
    write_manifest(folder, manifest(*files))
    return folder


def manifest(*files: ShardFile) -> Manifest:
    """Make the manifest of such shards."""
    nothing: dict[str, int] = {}
    flat = (0.0,) * MEL.n_mels
    return Manifest(
        signature="tiny",
        mel=MEL,
        language="en-us",
        mel_mean=flat,
        mel_std=flat,
        patch_statistics="patches.safetensors",
        clips={file.split: file.rows for file in files},
        hours={file.split: file.frames / 75 / 3_600 for file in files},
        speakers={"p0": 1},
        languages={"en": 1},
        symbols=dict.fromkeys(SYMBOLS, 1),
        rejects=nothing,
        warnings=nothing,
        unknown_characters={"SNOWMAN": 1},
        shards=files,
    )


def as_dict(row: Clip) -> dict[str, object]:
    """Make the row of a Parquet table."""
    turns = [{**vars(turn), "phonemes": list(turn.phonemes)} for turn in row.turns]
    return {
        "id": row.id,
        "split": row.split,
        "duration_s": row.duration_s,
        "frames": len(row.mel),
        "mel": row.mel.tobytes(),
        "turns": turns,
    }


def _patches(base: MelModel, row: Clip) -> npt.NDArray[np.float32]:
    mel = torch.from_numpy(row.mel.astype(np.float32))
    patches: npt.NDArray[np.float32] = base.codec.patches(mel).numpy()
    return patches


def model(shape: MelShape = SHAPE, seed: int = 0) -> MelModel:
    """Make a base with fresh weights, its codec fitted on such clips, and no layer silent."""
    torch.manual_seed(seed)
    base = MelModel(shape, PhonemeTable.fit([SYMBOLS]), MEL)
    patches = np.concatenate([_patches(base, row) for row in rows(12)])
    base.codec.fit(Moments.of(patches, pairs=True))
    for part in base.head.parameters():  # adaLN-zero would hide the conditions from every test
        if not part.any():
            torch.nn.init.normal_(part, std=0.1)
    base.requires_grad_(False)
    return base.eval()


def write_base(folder: Path, shape: MelShape = SHAPE) -> Path:
    """Save such a base as a bundle."""
    base = model(shape)
    clips = [base.encode(row) for row in rows(12)]
    save_bundle(base, base.voice_prompts(clips), folder)
    return folder


def open_context(folder: Path) -> WorkerContext:
    """Open a worker's context over such a base and such shards."""
    base = write_base(folder / "base")
    shards = write_shards(folder / "shards")
    return WorkerContext.open(str(base), shards, World())

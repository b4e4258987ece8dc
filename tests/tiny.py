"""Small things that tests share: shards of made-up mels, and a base of a few thousand weights. No ray, no speech, milliseconds."""

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
    """Clips of two people each, about two seconds long; the mels are smooth noise that depends on the phonemes."""
    rng = np.random.default_rng(seed)
    return [_row(number, rng) for number in range(count)]


def _row(number: int, rng: np.random.Generator) -> Clip:
    frames = int(rng.integers(90, 260))
    symbols = [tuple(rng.choice(SYMBOLS, int(rng.integers(4, 12)))) for _ in range(2)]
    tone = np.array([sum(map(ord, part)) % 7 for part in symbols], dtype=np.float32)
    level = np.repeat(tone, [frames // 2, frames - frames // 2])[:, None]
    mel = (
        level * np.linspace(-1, 0, MEL.n_mels) + rng.normal(0, 0.3, (frames, MEL.n_mels))
    ).astype(np.float16)
    seconds = frames / 75
    turns = tuple(
        ClipTurn(
            f"SPEAKER_{tag}",
            person,
            "en",
            "words",
            part,
            half * seconds / 2,
            (half + 1) * seconds / 2,
            True,
        )
        for half, (tag, person, part) in enumerate(
            zip("AB", (f"p{number % 3}", f"q{number % 2}"), symbols, strict=True)
        )
    )
    return Clip(f"clip{number:03d}", "val" if number % 5 == 4 else "train", seconds, mel, turns)


def write_shards(folder: Path, count: int = 30) -> Path:
    """Write such clips as a folder of shards."""
    folder.mkdir(parents=True)
    made = rows(count)
    files = []
    for split in ("train", "val"):
        part = [row for row in made if row.split == split]
        name = f"{split}-00000.parquet"
        pq.write_table(
            pa.Table.from_pylist([_plain(row) for row in part], schema=ROW_SCHEMA), folder / name
        )
        files.append(ShardFile(name, split, len(part), sum(len(row.mel) for row in part)))
    write_manifest(folder, manifest(*files))
    return folder


def manifest(*files: ShardFile) -> Manifest:
    """The manifest of such shards."""
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


def _patches(made: MelModel, row: Clip) -> npt.NDArray[np.float32]:
    patches: npt.NDArray[np.float32] = made.codec.patches(
        torch.from_numpy(row.mel.astype(np.float32))
    ).numpy()
    return patches


def _plain(row: Clip) -> dict[str, object]:
    turns = [{**vars(turn), "phonemes": list(turn.phonemes)} for turn in row.turns]
    frames = len(row.mel)
    return dict(
        id=row.id,
        split=row.split,
        duration_s=row.duration_s,
        frames=frames,
        mel=row.mel.tobytes(),
        turns=turns,
    )


def model(shape: MelShape = SHAPE, seed: int = 0) -> MelModel:
    """Make a base with fresh weights, its codec fitted on such clips, and no layer silent."""
    torch.manual_seed(seed)
    made = MelModel(shape, PhonemeTable.fit([SYMBOLS]), MEL)
    made.codec.fit(
        Moments.of(np.concatenate([_patches(made, row) for row in rows(12)]), pairs=True)
    )
    for part in made.head.parameters():  # adaLN-zero would hide the conditions from every test
        if not part.any():
            torch.nn.init.normal_(part, std=0.1)
    made.requires_grad_(False)
    return made.eval()


def write_base(folder: Path, shape: MelShape = SHAPE) -> Path:
    """Save such a base as a bundle."""
    base = model(shape)
    save_bundle(base, base.voice_prompts([base.encode(row) for row in rows(12)]), folder)
    return folder

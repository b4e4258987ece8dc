"""Small things that tests share: shards of made-up mels, and a base of a few thousand weights.

No ray, no speech, milliseconds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from vibesweep.config import MelSettings
from vibesweep.corpus.shards.manifest import EncoderRecord, Manifest, ShardFile, write_manifest
from vibesweep.corpus.shards.schema import Clip, ClipTurn, Columns, row_schema
from vibesweep.corpus.shards.statistics import Moments
from vibesweep.corpus.text.phoneme_table import PhonemeTable
from vibesweep.models.bundle import save_bundle
from vibesweep.models.mel.encoder import COLUMNS, MEL, PHONEMES, MelEncoder
from vibesweep.models.mel.model import MelModel
from vibesweep.models.mel.shape import MelShape
from vibesweep.models.registry import ModelRef
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

MEL_SETTINGS = MelSettings()
ENCODER = MelEncoder(MEL_SETTINGS, "en-us")
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


def clips(count: int, seed: int = 0) -> list[Clip]:
    """Make clips of two people each, about two seconds long.

    The mels are smooth noise that depends on the phonemes.
    """
    rng = np.random.default_rng(seed)
    return [_clip(number, rng) for number in range(count)]


def _clip(number: int, rng: np.random.Generator) -> Clip:
    frames = int(rng.integers(90, 260))
    symbols = [tuple(rng.choice(SYMBOLS, int(rng.integers(4, 12)))) for _ in range(2)]
    tone = np.array([sum(map(ord, part)) % 7 for part in symbols], dtype=np.float32)
    level = np.repeat(tone, [frames // 2, frames - frames // 2])[:, None]
    n_mels = MEL_SETTINGS.n_mels
    mel = level * np.linspace(-1, 0, n_mels) + rng.normal(0, 0.3, (frames, n_mels))
    seconds = frames / 75
    people = (f"p{number % 3}", f"q{number % 2}")
    turns = []
    for half, (tag, person, part) in enumerate(zip("AB", people, symbols, strict=True)):
        turns.append(
            ClipTurn(
                tag=f"SPEAKER_{tag}",
                speaker=person,
                language="en",
                text="words",
                start_s=half * seconds / 2,
                end_s=(half + 1) * seconds / 2,
                timed=True,
                columns={PHONEMES: list(part)},
            )
        )
    return Clip(
        id=f"clip{number:03d}",
        split="val" if number % 5 == 4 else "train",
        duration_s=seconds,
        patches=frames // 10,
        tokens=sum(len(part) + 1 for part in symbols),
        turns=tuple(turns),
        columns={MEL: mel.astype(np.float16).reshape(-1)},
    )


def mel_of(clip: Clip) -> npt.NDArray[np.float16]:
    """Return the log-mel of a clip [T, M]."""
    mel: npt.NDArray[np.float16] = clip.columns[MEL].reshape(-1, MEL_SETTINGS.n_mels)
    return mel


def write_shards(folder: Path, count: int = 30) -> Path:
    """Write such clips as a folder of shards."""
    files = write_clips(folder, clips(count), COLUMNS)
    write_manifest(folder, manifest(*files))
    return folder


def write_clips(folder: Path, made: Sequence[Clip], columns: Columns) -> list[ShardFile]:
    """Write clips as one Parquet file a split."""
    folder.mkdir(parents=True)
    files = []
    for split in ("train", "val"):
        part = [clip for clip in made if clip.split == split]
        name = f"{split}-00000.parquet"
        rows = [plain_row(clip) for clip in part]
        pq.write_table(pa.Table.from_pylist(rows, schema=row_schema(columns)), folder / name)
        files.append(ShardFile(name, split, len(part), sum(clip.duration_s for clip in part)))
    return files


def plain_row(clip: Clip) -> dict[str, Any]:
    """Make a clip's row as Parquet takes it."""
    turns = []
    for turn in clip.turns:
        facts = dataclasses.asdict(turn)
        turns.append(facts | facts.pop("columns"))
    row = {
        "id": clip.id,
        "split": clip.split,
        "duration_s": clip.duration_s,
        "patches": clip.patches,
        "tokens": clip.tokens,
        "turns": turns,
        "voice_prompts": [],
    }
    arrays = {name: value.tobytes() for name, value in clip.columns.items()}
    return row | arrays


def manifest(*files: ShardFile) -> Manifest:
    """Make the manifest of such shards."""
    encoder = EncoderRecord(
        family=ENCODER.family,
        name=ENCODER.name,
        fingerprint=ENCODER.fingerprint,
        summary=ENCODER.summary,
        settings=ENCODER.settings,
        picture=ENCODER.picture,
        counts={"symbols": dict.fromkeys(SYMBOLS, 1), "unknown_characters": {"SNOWMAN": 1}},
    )
    return Manifest(
        signature="tiny",
        clips={file.split: file.rows for file in files},
        hours={file.split: file.seconds / 3_600 for file in files},
        speakers={"p0": 1},
        languages={"en": 1},
        rejects={},
        warnings={},
        shards=files,
        encoder=encoder,
    )


def model(shape: MelShape = SHAPE, seed: int = 0) -> MelModel:
    """Make a base with fresh weights, its codec fitted on such clips, and no layer silent."""
    torch.manual_seed(seed)
    made = MelModel(shape, PhonemeTable.fit([SYMBOLS]), MEL_SETTINGS)
    patches = []
    for clip in clips(12):
        log_mel = torch.from_numpy(mel_of(clip).astype(np.float32))
        patches.append(made.codec.patches(log_mel))
    made.codec.fit(Moments.of(torch.cat(patches).numpy(), pairs=True))
    for part in made.head.parameters():  # adaLN-zero would hide the conditions from every test
        if not part.any():
            torch.nn.init.normal_(part, std=0.1)
    made.requires_grad_(False)
    return made.eval()


def write_base(folder: Path, shape: MelShape = SHAPE) -> Path:
    """Save such a base as a bundle."""
    base = model(shape)
    encoded = [base.encode(clip) for clip in clips(12)]
    save_bundle(base, base.voice_prompts(encoded), folder)
    return folder


def open_context(folder: Path) -> WorkerContext:
    """Open a worker's context over such a base and such shards."""
    base = write_base(folder / "base")
    shards = write_shards(folder / "shards")
    return WorkerContext.open(ModelRef.parse(str(base)), shards, World())

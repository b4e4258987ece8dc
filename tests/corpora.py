"""Made-up corpora of any size for the tests of the feed.

Shards have several files and row groups; indices are made of lengths alone.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests import tiny
from vibesweep.corpus.shards.manifest import ShardFile, write_manifest
from vibesweep.corpus.shards.schema import Clip, row_schema
from vibesweep.corpus.sound.rates import FRAMES_PER_PATCH
from vibesweep.models.mel.encoder import COLUMNS, MEL
from vibesweep.training.data.arrays import Floats
from vibesweep.training.data.index import Index, RowGroup

GROUP_S = 333.0  # of speech in a row group of 4 MB
PHONEMES_A_SECOND = 13


def write_many_shards(
    folder: Path, count: int, *, files: int = 3, group_rows: int = 7, frames: int | None = None
) -> Path:
    """Write tiny clips as preprocessing lays shards out.

    Clips are sorted by length in each file, and a file has several row groups.

    Args:
        folder: a folder that is not there yet.
        count: clips of both splits; a fifth is held out.
        files: of each split.
        group_rows: clips in a row group.
        frames: mels of noise of this length, which compress badly, in place of the tiny ones.
    """
    folder.mkdir(parents=True)
    made = tiny.clips(count)
    rng = np.random.default_rng(0)
    shards = []
    for split in ("train", "val"):
        for number in range(files):
            rows = sorted(
                [row for row in made if row.split == split][number::files],
                key=lambda clip: clip.duration_s,
            )
            shown = rows if frames is None else [_longer(row, frames, rng) for row in rows]
            name = f"{split}-{number:05d}.parquet"
            plain = [tiny.plain_row(clip) for clip in shown]
            table = pa.Table.from_pylist(plain, schema=row_schema(COLUMNS))
            pq.write_table(table, folder / name, row_group_size=group_rows)
            shards.append(ShardFile(name, split, len(shown), sum(c.duration_s for c in shown)))
    clips = {
        split: sum(shard.rows for shard in shards if shard.split == split)
        for split in ("train", "val")
    }
    write_manifest(folder, dataclasses.replace(tiny.manifest(*shards), clips=clips))
    return folder


def _longer(row: Clip, frames: int, rng: np.random.Generator) -> Clip:
    mel = rng.normal(0, 1, frames * tiny.MEL_SETTINGS.n_mels).astype(np.float16)
    patches = frames // FRAMES_PER_PATCH
    return dataclasses.replace(row, columns={MEL: mel}, patches=patches, duration_s=frames / 75)


def index_of(seconds: Floats, files: int = 1) -> Index:
    """Make the index of clips of these lengths, laid out as shards are.

    Clips are sorted in each file, and a row group has about 4 MB.
    """
    ordered = [np.sort(part) for part in np.array_split(seconds, files)]
    groups, sizes = [], []
    for number, part in enumerate(ordered):
        cuts = np.array_split(part, max(1, round(float(part.sum()) / GROUP_S)))
        groups += [RowGroup(f"train-{number:05d}.parquet", group) for group in range(len(cuts))]
        sizes += [len(cut) for cut in cuts]
    spoken = np.concatenate(ordered)
    patches = (spoken * 75).astype(int) // FRAMES_PER_PATCH
    return Index(
        ids=tuple(f"clip{number}" for number in range(len(spoken))),
        patches=patches,
        lengths=patches + (spoken * PHONEMES_A_SECOND).astype(int) + 1,
        seconds=spoken,
        people=(("p0",),) * len(spoken),
        groups=tuple(groups),
        starts=np.cumsum([0, *sizes]),
    )

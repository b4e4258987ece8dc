"""What is in a folder of shards, for people: tables, and pictures of a few mels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vibesweep.corpus.preprocess.plan import rank
from vibesweep.corpus.rejects import REASONS, WARNINGS
from vibesweep.corpus.shards.manifest import (
    REJECTS_FILE,
    WARNINGS_FILE,
    FeatureRecord,
    Manifest,
    read_manifest,
    read_rows,
    read_table,
)
from vibesweep.corpus.shards.schema import Clip, open_parquet
from vibesweep.corpus.sound.rates import frame_rate_hz
from vibesweep.storage import StorageAddress, StoragePath

SPEAKERS_SHOWN = 20
HISTOGRAM_BINS = 8
BAR_WIDTH = 40


def describe(shards: StorageAddress) -> RenderableType:
    """Hours, durations, speakers, languages, levels, rejects and warnings of a folder of shards.

    Raises:
        ShardsError: there are none.
    """
    manifest = read_manifest(shards)
    rows = read_table(shards, columns=["duration_s", "level_dbfs", "turns"])
    durations, levels = rows["duration_s"].to_numpy(), rows["level_dbfs"].to_numpy()
    return Group(
        Text(_headline(manifest, shards)),
        *([Text(_told(manifest.features))] if manifest.features else ()),
        _quantiles({"seconds a clip": durations, "level before levelling, dBFS": levels}),
        _histogram(durations),
        _speakers(manifest, rows["turns"]),
        _counted("language", "turns", manifest.languages),
        *_findings("rejects", manifest.rejects, REASONS, shards, REJECTS_FILE),
        *_findings("warnings", manifest.warnings, WARNINGS, shards, WARNINGS_FILE),
        *(
            [_counted("unknown character", "times", manifest.unknown_characters)]
            if manifest.unknown_characters
            else ()
        ),
    )


def draw_mels(shards: StorageAddress, out: Path, count: int) -> list[Path]:
    """Draw the mels of a sample of clips, the same ones on every call, as PNG files in ``out``; returns their paths."""
    ids = read_table(shards, columns=["id"])["id"].to_pylist()
    chosen = set(sorted(ids, key=rank)[:count])
    out.mkdir(parents=True, exist_ok=True)
    manifest = read_manifest(shards)
    return [_draw(row, manifest, out) for row in read_rows(shards) if row.id in chosen]


def _headline(manifest: Manifest, shards: StorageAddress) -> str:
    parts = [
        f"{split} {manifest.clips[split]} clips, {manifest.hours[split]:.2f} h"
        for split in manifest.clips
    ]
    sizes = {stat.name: stat.size for stat in StoragePath.of(shards).files()}
    size = sum(sizes[file.name] for file in manifest.shards)
    mel = manifest.mel
    settings = f"{mel.sample_rate_hz} Hz, {mel.n_mels} mels, hop {mel.hop_samples}, voice {manifest.language}"
    return f"{StoragePath.of(shards)}: {'; '.join(parts)}; {len(manifest.shards)} files, {size / 1e6:.1f} MB; {settings}"


def _told(features: FeatureRecord) -> str:
    sizes = f"{features.latent_size} acoustic and {features.semantic_size} semantic numbers every {features.hop_samples} samples"
    return f"features by {features.model}: {sizes}; acoustic mean {features.mean:.3f}, standard deviation {features.std:.3f}"


def _quantiles(columns: Mapping[str, npt.NDArray[np.floating[Any]]]) -> Table:
    table = Table("", "least", "5 %", "median", "95 %", "most")
    for name, values in columns.items():
        table.add_row(
            name, *(f"{value:.1f}" for value in np.quantile(values, (0, 0.05, 0.5, 0.95, 1)))
        )
    return table


def _histogram(durations: npt.NDArray[np.floating[Any]]) -> Table:
    counts, edges = np.histogram(durations, HISTOGRAM_BINS)
    table = Table("seconds", "clips", "")
    for count, first, past in zip(counts, edges, edges[1:], strict=False):
        table.add_row(
            f"{first:.1f} to {past:.1f}", str(count), "█" * round(BAR_WIDTH * count / counts.max())
        )
    return table


def _speakers(manifest: Manifest, turns: Any) -> Table:
    flat = pc.list_flatten(turns)
    spans = pc.subtract(
        pc.struct_field(flat, "end_s"), pc.struct_field(flat, "start_s")
    ).to_pylist()
    seconds: Counter[str] = Counter()
    for person, span in zip(pc.struct_field(flat, "speaker").to_pylist(), spans, strict=True):
        seconds[person] += span
    table = Table("speaker", "clips", "minutes of turns")
    for person, spoken_s in seconds.most_common(SPEAKERS_SHOWN):
        table.add_row(Text(person), str(manifest.speakers[person]), f"{spoken_s / 60:.1f}")
    if len(seconds) > SPEAKERS_SHOWN:
        table.add_row(f"and {len(seconds) - SPEAKERS_SHOWN} more", "", "")
    return table


def _counted(what: str, unit: str, counts: Mapping[str, int]) -> Table:
    table = Table(what, unit)
    for name, count in Counter(counts).most_common(SPEAKERS_SHOWN):
        table.add_row(Text(name), str(count))
    return table


def _findings(
    title: str, counts: Mapping[str, int], meanings: Mapping[str, str], shards: StorageAddress, name: str
) -> Iterable[RenderableType]:
    """A table of reasons with an example of each; nothing where there are none."""
    if not counts:
        return
    place = StoragePath.of(shards) / name
    examples: dict[str, str] = {}
    for row in open_parquet(place).read(columns=["id", "reason", "detail"]).to_pylist():
        examples.setdefault(row["reason"], f"{row['id']}: {row['detail']}")
    table = Table("reason", "count", "what it means", "the first", title=f"{title}, all in {place}")
    for reason, count in Counter(counts).most_common():
        table.add_row(reason, str(count), meanings[reason], Text(examples.get(reason, "")))
    yield table


def _draw(row: Clip, manifest: Manifest, out: Path) -> Path:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(min(max(row.duration_s, 4.0), 24.0), 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    extent = (0.0, row.duration_s, 0, manifest.mel.n_mels)
    axes.imshow(
        row.mel.T.astype(np.float32),
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=extent,
    )
    for label, turn in _labels(row):
        axes.axvline(
            turn.start_s, color="white", linewidth=0.8, linestyle="-" if turn.timed else ":"
        )
        axes.text(turn.start_s, manifest.mel.n_mels, label, fontsize=7, verticalalignment="bottom")
    rate = frame_rate_hz(manifest.mel)
    axes.set(xlabel=f"{row.id}, s ({row.split}; {rate:g} frames a second)", ylabel="mel bin")
    path = out / f"{_as_file_name(row.id)}.png"
    figure.savefig(path, dpi=100)
    return path


def _labels(row: Clip) -> Iterator[tuple[str, Any]]:
    """Each turn with its tag: a name may hold letters that no font here has."""
    yield from ((turn.tag.encode("ascii", "replace").decode(), turn) for turn in row.turns)


def _as_file_name(clip: str) -> str:
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in clip)

"""Describes a folder of shards to people: tables, and pictures of a few clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from vibesweep.corpus.rejects import REASONS, WARNINGS
from vibesweep.corpus.shards.manifest import (
    REJECTS_FILE,
    WARNINGS_FILE,
    Manifest,
    read_clips,
    read_manifest,
    read_table,
)
from vibesweep.corpus.shards.ranks import rank
from vibesweep.corpus.shards.schema import Clip
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.storage.parquet import open_parquet

SPEAKERS_SHOWN = 20
HISTOGRAM_BINS = 8
BAR_WIDTH = 40
QUANTILES = (0, 0.05, 0.5, 0.95, 1)
LEAST_WIDTH_INCHES = 4.0
MOST_WIDTH_INCHES = 24.0

Floats = npt.NDArray[np.floating[Any]]


def describe(shards: StorageAddress) -> RenderableType:
    """Describe hours, durations, speakers, languages, levels, rejects and warnings of shards.

    Raises:
        ShardsError: there are none.
    """
    manifest = read_manifest(shards)
    place = StoragePath.of(shards)
    rows = read_table(shards, columns=["duration_s", "level_dbfs", "turns"])
    durations = rows["duration_s"].to_numpy()
    levels = rows["level_dbfs"].to_numpy()
    parts: list[RenderableType] = [
        Text(_headline(manifest, place)),
        Text(_encoder_lines(manifest)),
        _quantiles({"seconds a clip": durations, "level before levelling, dBFS": levels}),
        _histogram(durations),
        _speakers(manifest, rows["turns"]),
        _counted("language", "turns", manifest.languages),
    ]
    if manifest.rejects:
        parts.append(_findings("rejects", manifest.rejects, REASONS, place / REJECTS_FILE))
    if manifest.warnings:
        parts.append(_findings("warnings", manifest.warnings, WARNINGS, place / WARNINGS_FILE))
    unknown = manifest.encoder.counts.get("unknown_characters")
    if unknown:
        parts.append(_counted("unknown character", "times", unknown))
    return Group(*parts)


def draw_clips(shards: StorageAddress, out: Path, count: int) -> list[Path]:
    """Draw what the model family's encoder made of a sample of clips, the same ones on every call.

    Returns:
        The paths of PNG files in ``out``: a clip's mel for a mel base, its acoustic latents for
        VibeVoice.
    """
    ids = read_table(shards, columns=["id"])["id"].to_pylist()
    chosen = set(sorted(ids, key=rank)[:count])
    out.mkdir(parents=True, exist_ok=True)
    column, width = read_manifest(shards).encoder.picture
    clips = [clip for clip in read_clips(shards) if clip.id in chosen]
    return [_draw(clip, column, width, out) for clip in clips]


def _headline(manifest: Manifest, place: StoragePath) -> str:
    splits = [
        f"{split} {manifest.clips[split]} clips, {manifest.hours[split]:.2f} h"
        for split in manifest.clips
    ]
    sizes = {stat.name: stat.size for stat in place.files()}
    shard_bytes = sum(sizes[file.name] for file in manifest.shards)
    files = f"{len(manifest.shards)} files, {shard_bytes / 1e6:.1f} MB"
    return f"{place}: {'; '.join(splits)}; {files}"


def _encoder_lines(manifest: Manifest) -> str:
    encoder = manifest.encoder
    lines = f"encoded for {encoder.family} by {encoder.name}\n{encoder.summary}"
    for name, moments in encoder.moments.items():
        mean, std = moments["mean"], moments["std"]
        lines += f"\n{name} mean {mean:.3f}, standard deviation {std:.3f}"
    return lines


def _quantiles(columns: Mapping[str, Floats]) -> Table:
    table = Table("", "least", "5 %", "median", "95 %", "most")
    for name, values in columns.items():
        quantiles = np.quantile(values, QUANTILES)
        cells = [f"{value:.1f}" for value in quantiles]
        table.add_row(name, *cells)
    return table


def _histogram(durations: Floats) -> Table:
    counts, edges = np.histogram(durations, HISTOGRAM_BINS)
    table = Table("seconds", "clips", "")
    most = counts.max()
    for count, first, past in zip(counts, edges, edges[1:], strict=False):
        bar = "█" * round(BAR_WIDTH * count / most)
        seconds = f"{first:.1f} to {past:.1f}"
        table.add_row(seconds, str(count), bar)
    return table


def _speakers(manifest: Manifest, turns: Any) -> Table:
    flat = pc.list_flatten(turns)
    people = pc.struct_field(flat, "speaker").to_pylist()
    starts = pc.struct_field(flat, "start_s")
    ends = pc.struct_field(flat, "end_s")
    spans_s = pc.subtract(ends, starts).to_pylist()
    seconds: Counter[str] = Counter()
    for person, span_s in zip(people, spans_s, strict=True):
        seconds[person] += span_s
    table = Table("speaker", "clips", "minutes of turns")
    for person, spoken_s in seconds.most_common(SPEAKERS_SHOWN):
        clips = str(manifest.speakers[person])
        minutes = f"{spoken_s / 60:.1f}"
        table.add_row(Text(person), clips, minutes)
    more = len(seconds) - SPEAKERS_SHOWN
    if more > 0:
        table.add_row(f"and {more} more", "", "")
    return table


def _counted(what: str, unit: str, counts: Mapping[str, int]) -> Table:
    table = Table(what, unit)
    for name, count in Counter(counts).most_common(SPEAKERS_SHOWN):
        table.add_row(Text(name), str(count))
    return table


def _findings(
    title: str, counts: Mapping[str, int], meanings: Mapping[str, str], place: StoragePath
) -> Table:
    """Make a table of reasons with an example of each."""
    findings = open_parquet(place).read(columns=["id", "reason", "detail"])
    examples: dict[str, str] = {}
    for row in findings.to_pylist():
        example = f"{row['id']}: {row['detail']}"
        examples.setdefault(row["reason"], example)
    heading = f"{title}, all in {place}"
    table = Table("reason", "count", "what it means", "the first", title=heading)
    for reason, count in Counter(counts).most_common():
        example = examples.get(reason, "")
        table.add_row(reason, str(count), meanings[reason], Text(example))
    return table


def _draw(clip: Clip, column: str, width: int, out: Path) -> Path:
    """Draw an array of a clip: a column of ``width`` values for each moment."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    values = clip.columns[column].reshape(-1, width)
    picture = values.T.astype(np.float32)
    inches = max(clip.duration_s, LEAST_WIDTH_INCHES)
    inches = min(inches, MOST_WIDTH_INCHES)
    figure = Figure(figsize=(inches, 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.imshow(
        picture,
        origin="lower",
        aspect="auto",
        interpolation="nearest",
        extent=(0.0, clip.duration_s, 0, width),
    )
    for turn in clip.turns:
        style = "-" if turn.timed else ":"
        start_s = turn.start_s
        axes.axvline(start_s, color="white", linewidth=0.8, linestyle=style)
        axes.text(
            start_s,
            width,
            _drawable(turn.tag),
            fontsize=7,
            verticalalignment="bottom",
            parse_math=False,
        )
    rate_hz = len(values) / clip.duration_s
    label = f"{clip.id}, s ({clip.split}; {rate_hz:.3g} columns a second)"
    axes.set_xlabel(label, parse_math=False)
    axes.set_ylabel(column)
    path = out / f"{_as_file_name(clip.id)}.png"
    figure.savefig(path, dpi=100)
    return path


def _drawable(tag: str) -> str:
    """Replace letters that the font may not have."""
    plain = tag.encode("ascii", "replace")
    return plain.decode()


def _as_file_name(clip_id: str) -> str:
    kept = ""
    for char in clip_id:
        plain = char.isalnum() or char in "-_."
        kept += char if plain else "_"
    return kept

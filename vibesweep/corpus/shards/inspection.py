"""Describes a folder of shards to people: tables, and pictures of a few clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
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
from vibesweep.corpus.shards.schema import Clip, open_parquet
from vibesweep.storage import StorageAddress, StoragePath

SPEAKERS_SHOWN = 20
HISTOGRAM_BINS = 8
BAR_WIDTH = 40
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
        Text(_encoder_line(manifest)),
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
    megabytes = sum(sizes[file.name] for file in manifest.shards) / 1e6
    return f"{place}: {'; '.join(splits)}; {len(manifest.shards)} files, {megabytes:.1f} MB"


def _encoder_line(manifest: Manifest) -> str:
    encoder = manifest.encoder
    line = f"encoded for {encoder.family} by {encoder.name}: {encoder.summary}"
    for name, moments in encoder.moments.items():
        line += f"; {name} mean {moments['mean']:.3f}, standard deviation {moments['std']:.3f}"
    return line


def _quantiles(columns: Mapping[str, Floats]) -> Table:
    table = Table("", "least", "5 %", "median", "95 %", "most")
    for name, values in columns.items():
        quantiles = np.quantile(values, (0, 0.05, 0.5, 0.95, 1))
        table.add_row(name, *(f"{value:.1f}" for value in quantiles))
    return table


def _histogram(durations: Floats) -> Table:
    counts, edges = np.histogram(durations, HISTOGRAM_BINS)
    table = Table("seconds", "clips", "")
    for count, first, past in zip(counts, edges, edges[1:], strict=False):
        bar = "█" * round(BAR_WIDTH * count / counts.max())
        table.add_row(f"{first:.1f} to {past:.1f}", str(count), bar)
    return table


def _speakers(manifest: Manifest, turns: Any) -> Table:
    flat = pc.list_flatten(turns)
    people = pc.struct_field(flat, "speaker").to_pylist()
    spans = pc.subtract(pc.struct_field(flat, "end_s"), pc.struct_field(flat, "start_s"))
    seconds: Counter[str] = Counter()
    for person, span_s in zip(people, spans.to_pylist(), strict=True):
        seconds[person] += span_s
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
    title: str, counts: Mapping[str, int], meanings: Mapping[str, str], place: StoragePath
) -> Table:
    """Make a table of reasons with an example of each."""
    examples: dict[str, str] = {}
    for row in open_parquet(place).read(columns=["id", "reason", "detail"]).to_pylist():
        examples.setdefault(row["reason"], f"{row['id']}: {row['detail']}")
    table = Table("reason", "count", "what it means", "the first", title=f"{title}, all in {place}")
    for reason, count in Counter(counts).most_common():
        table.add_row(reason, str(count), meanings[reason], Text(examples.get(reason, "")))
    return table


def _draw(clip: Clip, column: str, width: int, out: Path) -> Path:
    """Draw an array of a clip: a column of ``width`` values for each moment."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = clip.columns[column].reshape(-1, width).T.astype(np.float32)
    inches = min(max(clip.duration_s, LEAST_WIDTH_INCHES), MOST_WIDTH_INCHES)
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
    for label, turn in _labels(clip):
        style = "-" if turn.timed else ":"
        axes.axvline(turn.start_s, color="white", linewidth=0.8, linestyle=style)
        axes.text(turn.start_s, width, label, fontsize=7, verticalalignment="bottom")
    rate_hz = picture.shape[1] / clip.duration_s
    axes.set(
        xlabel=f"{clip.id}, s ({clip.split}; {rate_hz:.3g} columns a second)",
        ylabel=column,
    )
    path = out / f"{_as_file_name(clip.id)}.png"
    figure.savefig(path, dpi=100)
    return path


def _labels(clip: Clip) -> Iterator[tuple[str, Any]]:
    """Yield each turn with its tag; a person's name may hold letters that no font here has."""
    for turn in clip.turns:
        yield turn.tag.encode("ascii", "replace").decode(), turn


def _as_file_name(clip_id: str) -> str:
    kept = [char if char.isalnum() or char in "-_." else "_" for char in clip_id]
    return "".join(kept)

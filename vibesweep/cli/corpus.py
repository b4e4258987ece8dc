"""Verbs that turn recordings into shards and show what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibesweep.cli.application import (
    app,
    console,
    ctrl_c_says,
    error_console,
    names_in,
    say,
    say_next,
)
from vibesweep.cli.corpus_options import (
    Columns,
    Corpus,
    Language,
    MaxDuration,
    MaxEdgeSilence,
    MaxRejectFraction,
    ShardsModel,
    ShardsOut,
    SplitBy,
    SplitSeed,
    ValFraction,
    ValIds,
)
from vibesweep.config import CorpusSettings
from vibesweep.config.sweep import DEFAULT_MODEL

if TYPE_CHECKING:
    from vibesweep.corpus.shards.manifest import Manifest

USUAL = CorpusSettings()


@app.command("demo-corpus")
def demo_corpus(
    out: Annotated[Path, typer.Argument(help="The corpus folder to write.")],
    recordings: Annotated[int, typer.Option(min=2, help="How many dialogues.")] = 48,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Speak a corpus of dialogues, in English and Mandarin.

    eSpeak NG speaks them, two voices in each.
    """
    from vibesweep.corpus.demo import write_demo_corpus
    from vibesweep.storage.early import check_folder_writable

    check_folder_writable(out, "OUT")
    write_demo_corpus(out, recordings=recordings, seed=seed)
    say(f"{recordings} recordings in {out}")
    say_next("run", "SPACE.py", "--corpus", str(out))


@app.command()
def preprocess(
    corpus: Corpus,
    out: ShardsOut,
    language: Language = None,
    model: ShardsModel = DEFAULT_MODEL,
    max_duration: MaxDuration = USUAL.max_duration_s,
    max_edge_silence: MaxEdgeSilence = USUAL.max_edge_silence_s,
    split_by: SplitBy = USUAL.split_by,
    val_fraction: ValFraction = USUAL.val_fraction,
    val_ids: ValIds = "",
    seed: SplitSeed = USUAL.seed,
    max_reject_fraction: MaxRejectFraction = USUAL.max_reject_fraction,
    columns: Columns = "",
) -> None:
    """Turn recordings and texts into Parquet shards.

    They have the columns that a model learns from. Shards that are there already are not made
    again.
    """
    settings = CorpusSettings(
        max_duration_s=max_duration,
        max_edge_silence_s=max_edge_silence,
        split_by=split_by,
        val_fraction=val_fraction,
        val_ids=names_in(val_ids),
        seed=seed,
        max_reject_fraction=max_reject_fraction,
        columns=names_in(columns),
    )
    # After the settings, whose mistakes are told without waiting for Ray
    from vibesweep.corpus.preprocess.progress import shown
    from vibesweep.corpus.preprocess.run import preprocess as make_shards
    from vibesweep.models.registry import ModelRef

    base = ModelRef.parse(model).located()
    language = language or base.family.language(base.address)
    encoder = base.family.clip_encoder(base.address, language)
    kept = "what is encoded is kept, and the same command goes on from there"
    with ctrl_c_says(kept), shown() as tell:
        manifest = make_shards(corpus, out, encoder, settings, tell=tell, say=say)
    _say_what_was_made(manifest, out)
    say_next("run", "SPACE.py", "--corpus", out)


def _say_what_was_made(manifest: Manifest, out: str) -> None:
    train, val = manifest.clips["train"], manifest.clips["val"]
    hours = sum(manifest.hours.values())
    rejected = sum(manifest.rejects.values())
    warned = sum(manifest.warnings.values())
    say(
        f"{train} training and {val} validation clips, {hours:.2f} h, "
        f"{rejected} rejected, {warned} warnings, in {out}"
    )
    for reason, count in manifest.rejects.items():
        say(f"  {count} x {reason} (see {out}/rejects.parquet)")
    for reason, count in manifest.warnings.items():
        say(f"  {count} x {reason} (see {out}/warnings.parquet)")
    if "left_out_tags" in manifest.warnings:
        _say_what_was_left_out(out)
    from vibesweep.corpus.shards.remarks import remarks

    for remark in remarks(out):
        say(f"warning: {remark}", error_console, style="yellow")


def _say_what_was_left_out(out: str) -> None:
    from vibesweep.corpus.shards.left_out import left_out_tags
    from vibesweep.corpus.text.turns import told_counts

    say(f"  left out of the texts: {told_counts(left_out_tags(out))}")


@app.command()
def inspect(
    place: Annotated[
        str,
        typer.Argument(
            help="A folder of shards, or recordings as preprocess takes them; a path or URI.",
        ),
    ],
    pictures: Annotated[int, typer.Option(min=0, help="How many clips to draw.")] = 4,
    out: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path("mels"),
    columns: Columns = "",
) -> None:
    """Show what shards or recordings hold.

    It draws the mels or latents of a few clips. It prints hours, durations, speakers,
    languages, levels, rejects and warnings. Of recordings it prints how their table is understood,
    with five rows; nothing is decoded.
    """
    from vibesweep.corpus.shards.manifest import MANIFEST_FILE
    from vibesweep.storage import StoragePath

    if not (StoragePath.of(place) / MANIFEST_FILE).is_file():
        _show_recordings(place, names_in(columns))
        return
    from vibesweep.corpus.shards.inspection import describe, draw_clips
    from vibesweep.storage.early import check_folder_writable

    if pictures:
        check_folder_writable(out, "--out")
    console.print(describe(place))
    if pictures:
        for path in draw_clips(place, out, pictures):
            say(f"picture: {path}")
    say_next("run", "SPACE.py", "--corpus", place)


def _show_recordings(corpus: str, columns: tuple[str, ...]) -> None:
    from vibesweep.corpus.preprocess.preview import preview

    summary, rows = preview(corpus, columns)
    say(summary)
    console.print(rows)
    say_next("run", "SPACE.py", "--corpus", corpus)

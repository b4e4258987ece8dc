"""Verbs that turn recordings into shards and show what is in them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibesweep.cli.application import app, console, say

if TYPE_CHECKING:
    from vibesweep.corpus.shards.manifest import Manifest


@app.command("demo-corpus")
def demo_corpus(
    out: Annotated[Path, typer.Argument(help="The corpus folder to write.")],
    recordings: Annotated[int, typer.Option(min=2, help="How many dialogues.")] = 48,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Speak a corpus of two-speaker dialogues, English and Mandarin, with eSpeak NG."""
    from vibesweep.corpus.demo import write_demo_corpus

    write_demo_corpus(out, recordings=recordings, seed=seed)
    say(f"{recordings} recordings in {out}")


@app.command()
def preprocess(
    corpus: Annotated[
        str,
        typer.Argument(
            help="A folder with metadata.csv or an LJSpeech one, or a .jsonl file; a path or URI."
        ),
    ],
    out: Annotated[str, typer.Argument(help="The folder of shards to write; a path or URI.")],
    language: Annotated[
        str, typer.Option(help="eSpeak NG voice that reads all but Han characters.")
    ] = "en-us",
    model: Annotated[
        str,
        typer.Option(
            help=(
                "The model to make the shards for: a base's name or folder, "
                "or vibevoice:<folder or hub id>."
            )
        ),
    ] = "mel-tiny",
    max_duration: Annotated[
        float, typer.Option(help="Seconds; longer recordings are cut between turns.")
    ] = 300.0,
    split_by: Annotated[
        str, typer.Option(help="What is never on both sides of the split: recording or speaker.")
    ] = "recording",
    val_fraction: Annotated[
        float, typer.Option(help="Share of the recordings, or speakers, held out for validation.")
    ] = 0.1,
    val_ids: Annotated[
        str,
        typer.Option(
            help="Hold out these recordings, or speakers, instead: names with commas between."
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="Seed of the split.")] = 0,
    max_reject_fraction: Annotated[
        float, typer.Option(help="Fail if more than this share of the recordings cannot be used.")
    ] = 0.2,
) -> None:
    """Turn recordings and texts into Parquet shards with the columns that a model learns from.

    Shards that are there already are not made again.
    """
    from vibesweep.config import CorpusSettings

    settings = CorpusSettings(
        max_duration_s=max_duration,
        split_by=split_by,
        val_fraction=val_fraction,
        val_ids=_names(val_ids),
        seed=seed,
        max_reject_fraction=max_reject_fraction,
    )
    from vibesweep.corpus.preprocess.progress import shown
    from vibesweep.corpus.preprocess.run import preprocess as make_shards
    from vibesweep.models.registry import ModelRef

    base = ModelRef.parse(model).located()
    encoder = base.family.clip_encoder(base.address, language)
    with shown(console) as tell:
        manifest = make_shards(corpus, out, encoder, settings, tell=tell)
    _say_what_was_made(manifest, out)


def _names(listed: str) -> tuple[str, ...]:
    """Split names at their commas; spaces around them and empty ones are dropped."""
    stripped = [name.strip() for name in listed.split(",")]
    return tuple(name for name in stripped if name)


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


def _say_what_was_left_out(out: str) -> None:
    from vibesweep.corpus.shards.left_out import left_out_tags
    from vibesweep.corpus.text.turns import told_counts

    say(f"  left out of the texts: {told_counts(left_out_tags(out))}")


@app.command()
def inspect(
    shards: Annotated[str, typer.Argument(help="A folder of shards; a path or URI.")],
    pictures: Annotated[int, typer.Option(min=0, help="How many clips to draw.")] = 4,
    out: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path("mels"),
) -> None:
    """Show what shards hold, and draw the mels or latents of a few clips.

    It prints hours, durations, speakers, languages, levels, rejects and warnings.
    """
    from vibesweep.corpus.shards.inspection import describe, draw_clips

    console.print(describe(shards))
    if pictures:
        for path in draw_clips(shards, out, pictures):
            say(f"picture: {path}")

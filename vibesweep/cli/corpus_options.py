"""The options of verbs about recordings and shards, each spelt once."""

from __future__ import annotations

from typing import Annotated

import typer

Corpus = Annotated[
    str,
    typer.Argument(
        help="A folder with metadata.csv, or a table (.csv, .tsv, .txt, .jsonl); a path or URI."
    ),
]
ShardsOut = Annotated[str, typer.Argument(help="The folder of shards to write; a path or URI.")]
Language = Annotated[
    str | None,
    typer.Option(
        help=(
            "eSpeak NG voice that reads all but Han characters; "
            "the one that the model was trained in, en-us for mel-small, if left out."
        )
    ),
]
ShardsModel = Annotated[
    str,
    typer.Option(
        help=(
            "The model to make the shards for: a base's name or folder, "
            "or vibevoice:<folder or hub id>."
        )
    ),
]
MaxDuration = Annotated[
    float, typer.Option(help="Seconds; longer recordings are cut between turns.")
]
MaxEdgeSilence = Annotated[
    float,
    typer.Option(
        help=(
            "Seconds; longer silence at either end of a clip is cut to half a second. inf keeps it."
        )
    ),
]
SplitBy = Annotated[
    str, typer.Option(help="What is never on both sides of the split: recording or speaker.")
]
ValFraction = Annotated[
    float, typer.Option(help="Share of the recordings, or speakers, held out for validation.")
]
ValIds = Annotated[
    str,
    typer.Option(
        help="Hold out these recordings, or speakers, instead: names with commas between."
    ),
]
SplitSeed = Annotated[int, typer.Option(help="Seed of the split.")]
MaxRejectFraction = Annotated[
    float, typer.Option(help="Fail if more than this share of the recordings cannot be used.")
]
Columns = Annotated[
    str,
    typer.Option(
        help=(
            "What the table's columns hold, with commas between: id, audio, text, raw, speaker, "
            "- and more; by default as header or content show."
        )
    ),
]

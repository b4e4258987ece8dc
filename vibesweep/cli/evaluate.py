"""The verb that measures how a model speaks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vibesweep.cli.application import Work, app, console, say, say_aside, say_next, work_option


@app.command()
def evaluate(
    model: Annotated[
        str, typer.Argument(help="An exported folder, a base's name, or a sweep's, for its best.")
    ],
    corpus: Annotated[
        str, typer.Argument(help="Recordings that it was not trained on, or shards; a path or URI.")
    ],
    texts: Annotated[int, typer.Option(min=1, help="How many texts are spoken.")] = 8,
    scorer: Annotated[
        list[str] | None,
        typer.Option(help="A scorer of yours, package.module:Class=MODEL; repeat it."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder to write; evaluations/MODEL-on-CORPUS.")
    ] = None,
    work: Work = ".",
) -> None:
    """Measure how a model and its base say held-out texts.

    Asked twice for the same, it shows what it wrote the first time.
    """
    from vibesweep.delivery.evaluate import evaluate as judge
    from vibesweep.quality.table import quality_table

    found = judge(model, corpus, say_aside, work=work, out=out, texts=texts, scorers=scorer or ())
    console.print(quality_table(found.quality))
    say(found.quality.verdict)
    say(f"figures and sounds: {found.folder}")
    say_next("synthesize", model, *work_option(work), "--text", "TEXT", "--out", "FILE.wav")

"""The verb that writes an original VibeVoice checkpoint as sweeps take it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vibesweep.cli.application import app, say, say_next


@app.command()
def convert(
    checkpoint: Annotated[
        str,
        typer.Argument(
            help="A VibeVoice checkpoint of the original repository's layout: a folder or hub id."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="The folder to write.")],
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Folder or hub id of Qwen2.5's tokenizer; the one that the checkpoint names."
        ),
    ] = None,
) -> None:
    """Convert an original VibeVoice checkpoint for transformers.

    Sweeps take that layout. The weights stay the same to the bit.
    """
    from vibesweep.models.conversion import convert_checkpoint

    convert_checkpoint(checkpoint, out, tokenizer)
    say(f"converted to {out}")
    say_next("run", "SPACE.py", "--corpus", "CORPUS", "--model", f"vibevoice:{out}")

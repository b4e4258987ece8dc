"""The verb that writes what a sweep found as a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibesweep.cli.application import Work, app, error_console, say, say_next
from vibesweep.cli.sweep_options import SweepName

if TYPE_CHECKING:
    from vibesweep.models.family import SpeechChange


@app.command()
def export(
    sweep: SweepName,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    layout: Annotated[
        str | None,
        typer.Option(help="For VibeVoice: merged, the default; peft, lora, comfyui or original."),
    ] = None,
    trial: Annotated[
        int | None, typer.Option(min=0, help="Number of another trial to write than the best.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace what was exported there before.")
    ] = False,
    work: Work = ".",
) -> None:
    """Write the best trial, or the one named, as a model folder.

    It tells where the model comes from. The folder can be spoken with, tuned further or handed on.
    """
    from vibesweep.delivery.export import export as export_best
    from vibesweep.delivery.export import refuse_exported, speech_change_of
    from vibesweep.sweep.record import find_sweep

    if not force:
        refuse_exported(out)
    export_best(find_sweep(sweep, work), out, layout, trial)
    say(f"exported to {out}")
    _say_what_changed(speech_change_of(out))
    if layout is None:
        say_next("synthesize", str(out), "--text", "TEXT", "--out", "FILE.wav")


def _say_what_changed(change: SpeechChange) -> None:
    """Say how far the export's speech is from the base's, or warn that it is not."""
    if change.share is None:
        say(f"how far the speech is from the base's was not measured: {change.remark}")
        return
    percent = 100 * change.share
    figure = f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"
    if not change.remark:
        say(f"the tuning changes the speech: {figure} of the latents' spread, same text and seed")
        return
    warning = f"the tuning does not change the speech ({figure} of the latents' spread)"
    say(f"{warning}: {change.remark}", error_console, style="yellow")

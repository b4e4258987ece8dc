"""Verbs that show sweeps, export what they found, and speak with it."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibesweep.cli.application import (
    Work,
    app,
    console,
    error_console,
    say,
    say_aside,
    say_next,
)
from vibesweep.errors import SpeechError

if TYPE_CHECKING:
    from vibesweep.models.family import Speech, SpeechChange

SweepName = Annotated[str, typer.Argument(help="A sweep's name, or its folder's path or URI.")]


@app.command("list")
def list_all(work: Work = ".") -> None:
    """List the sweeps, with their state and best loss."""
    from vibesweep.sweep.record import list_sweeps
    from vibesweep.sweep.record.show import sweeps_table

    found = list_sweeps(work)
    console.print(sweeps_table(found, work))
    if found.records:
        place = () if work == "." else ("--work", work)
        say_next("show", found.records[-1].name, *place)


@app.command()
def show(
    sweep: SweepName,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole record as JSON.")
    ] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the trials as CSV.")] = False,
    pareto: Annotated[
        str | None,
        typer.Option(
            help="Show the trials that none beats in both loss and this: step-ms, parameters, "
            "steps, or a measure that they were heard by."
        ),
    ] = None,
    work: Work = ".",
) -> None:
    """Show a sweep's trials, best first."""
    from vibesweep.sweep.record import find_sweep
    from vibesweep.sweep.record.front import front_table
    from vibesweep.sweep.record.show import sweep_table, trials_csv
    from vibesweep.sweep.record.states import RESUMABLE

    if sum((as_json, as_csv, pareto is not None)) > 1:
        raise typer.BadParameter("choose one of --json, --csv and --pareto")
    record = find_sweep(sweep, work).read()
    if pareto is not None:
        console.print(front_table(record, pareto))
        return
    if as_csv:
        sys.stdout.write(trials_csv(record))
        return
    if not as_json:
        console.print(sweep_table(record))
        if record.state in RESUMABLE:
            say_next("resume", sweep)
        if record.best is not None:
            say_next("export", sweep, "--out", "FOLDER")
        return
    facts = dataclasses.asdict(record)
    facts["best"] = record.best.id if record.best else None
    text = json.dumps(facts, indent=1)
    sys.stdout.write(f"{text}\n")


@app.command()
def report(sweep: SweepName, work: Work = ".") -> None:
    """Write a sweep's report: one HTML file that opens offline. The sweep may still run."""
    from vibesweep.delivery.report.write import write_report
    from vibesweep.sweep.record import find_sweep

    say(f"report:     {write_report(find_sweep(sweep, work))}")


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
    """Write the best trial, or the one named, as a model folder, with its provenance.

    The folder can be spoken with, tuned further or handed on.
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
    """Measure how a model and its untouched base say held-out texts.

    Asked twice for the same, it shows what it wrote the first time.
    """
    from vibesweep.delivery.evaluate import evaluate as judge
    from vibesweep.quality.table import quality_table

    found = judge(model, corpus, say_aside, work=work, out=out, texts=texts, scorers=scorer or ())
    console.print(quality_table(found.quality))
    say(found.quality.verdict)
    say(f"figures and sounds: {found.folder}")
    say_next("synthesize", model, "--text", "TEXT", "--out", "FILE.wav")


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
    """Write an original VibeVoice checkpoint in transformers' layout, which sweeps take.

    The weights stay the same to the bit.
    """
    from vibesweep.models.conversion import convert_checkpoint

    convert_checkpoint(checkpoint, out, tokenizer)
    say(f"converted to {out}")
    say_next("run", "SPACE.py", "--corpus", "CORPUS", "--model", f"vibevoice:{out}")


@app.command()
def synthesize(
    model: Annotated[
        str,
        typer.Argument(
            help=(
                "An exported folder, a path or URI, a VibeVoice checkpoint's, "
                "a shipped base's name, or a sweep's, for its best model."
            )
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The file to write, 24 kHz: .wav, .flac, .ogg or .mp3.")
    ],
    text: Annotated[
        str | None, typer.Option(help='What to say: "[SPEAKER_A] Hello. [SPEAKER_B] Hi."')
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="A text file with what to say, in place of --text.")
    ] = None,
    voice: Annotated[
        list[str] | None,
        typer.Option(
            help=(
                "For each speaker, in order, a voice of the model, or for VibeVoice a recording; "
                "repeat it."
            )
        ),
    ] = None,
    language: Annotated[
        str | None,
        typer.Option(
            help="eSpeak NG voice that reads all but Han characters; the model's own if left out."
        ),
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(
            "--guidance",
            "--cfg-scale",
            min=0.0,
            help="How closely text and voice are followed; 1 is plain. 1.5, VibeVoice 1.3.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Diffusion steps for each latent.")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the noise.")] = 0,
    work: Work = ".",
) -> None:
    """Speak a text with a model."""
    words = _words(text, script)

    from vibesweep.corpus.sound.speech_file import check_speech_file
    from vibesweep.delivery.synthesize import fetched_model
    from vibesweep.delivery.synthesize import synthesize as speak
    from vibesweep.models.family import SpeakingSettings

    check_speech_file(out)
    settings = SpeakingSettings(
        diffusion_steps=steps, guidance=guidance, seed=seed, language=language
    )
    with fetched_model(_model_named(model, work)) as base:
        speech = speak(base, words, out, voices=voice or (), settings=settings, tell=say_aside)
    _say_what_was_spoken(speech, out)


def _model_named(name: str, work: str) -> str:
    """Return a model's name as it is, and a sweep's best model for the sweep's name."""
    from vibesweep.models.bundle_folder import find_folder
    from vibesweep.sweep.record import find_sweep

    if find_folder(name) is not None:
        return name
    sweep = find_sweep(name, work)
    return str(sweep.best) if sweep.holds_sweep() else name


def _say_what_was_spoken(speech: Speech, out: Path) -> None:
    line = f"{speech.seconds:.1f} s in {out}"
    if speech.voices:
        cast = ", ".join(f"{tag} as {name}" for tag, name in speech.voices.items())
        line = f"{line} ({cast})"
    say(line)
    for remark in speech.remarks:
        say(remark, error_console, style="yellow")
    if speech.cut:
        say("the model did not stop by itself: the speech was cut", error_console, style="yellow")


def _words(text: str | None, script: Path | None) -> str:
    """Return the text to speak, which exactly one of the two options gives."""
    if text is not None and script is None:
        return text
    if script is not None and text is None:
        return _read_script(script)
    raise SpeechError(
        "what is to be said is given by one of two options",
        where="--text, --script",
        fix="give one of them",
    )


def _read_script(script: Path) -> str:
    try:
        return script.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:  # ValueError: it is not UTF-8
        raise SpeechError(
            f"the script cannot be read: {error}",
            where=str(script),
            fix="name a text file in UTF-8",
        ) from error

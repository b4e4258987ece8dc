"""The command line: verbs that parse, call one function and print. Heavy libraries are imported by the verb that needs them."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from vibesweep.errors import SpeechError, VibesweepError

if TYPE_CHECKING:
    from vibesweep.config import Sweep

app = typer.Typer(
    help="Find the best fine-tuning of a VibeVoice-like model on your recordings, and take the tuned voice away.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console()
errors = Console(stderr=True)

SpaceFile = Annotated[Path, typer.Argument(help="A Python file that defines `sweep = Sweep(...)`.")]
Corpus = Annotated[
    str | None, typer.Option(help="A corpus folder, a folder of shards, or demo; a path or URI.")
]
Model = Annotated[
    str | None, typer.Option(help="A base's name or folder, or vibevoice:<folder or hub id>.")
]
Trials = Annotated[int | None, typer.Option(min=1, help="How many settings to try.")]
Name = Annotated[
    str | None, typer.Option(help="Of the folder sweeps/NAME; the space file's name unless given.")
]
SweepName = Annotated[str, typer.Argument(help="A sweep's name, or its folder's path or URI.")]
Work = Annotated[
    str,
    typer.Option(
        envvar="VIBESWEEP_WORK", help="The folder that holds sweeps and shards; a path or URI."
    ),
]
JobName = Annotated[str, typer.Argument(help="A sweep's name.")]
Address = Annotated[
    str | None,
    typer.Option(
        help="A cluster's job server, http://HEAD:8265; RAY_API_SERVER_ADDRESS and RAY_ADDRESS are looked at too."
    ),
]


def main() -> None:
    """Run a verb. What the user can mend is one line and exit code 2; Ctrl-C is 130."""
    try:
        app(standalone_mode=True)
    except VibesweepError as error:
        say(f"error: {error}", errors, style="red")
        sys.exit(2)
    except KeyboardInterrupt:
        say("stopped", errors, style="yellow")
        sys.exit(130)


def say(line: str, where: Console = console, style: str | None = None) -> None:
    """Print a line as it is: no markup in a path, no break in the middle of one."""
    where.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


@app.command()
def run(
    space: SpaceFile,
    corpus: Corpus = None,
    model: Model = None,
    trials: Trials = None,
    name: Name = None,
    work: Work = ".",
    address: Address = None,
) -> None:
    """Run the sweep that a space file defines, then export its best trial and speak with it.

    Given a cluster's job server, it runs there; its output comes here, and Ctrl-C leaves it alone.
    """
    sweep, options = _load(space, corpus, model, trials)
    from vibesweep.sweep.jobs.server import job_server

    if (server := job_server(address)) is not None:
        _submit(server, space, sweep, options, name or space.stem, work)
        _follow(server, name or space.stem)
        return
    from vibesweep.sweep.run import run_sweep

    folder = run_sweep(sweep, name or space.stem, work=work, console=console, space_file=space)
    if folder.read().best is None:
        return
    from vibesweep.delivery.best import deliver_best

    bundle, sample = deliver_best(folder)
    say(f"best model: {bundle}")
    if isinstance(sample, VibesweepError):  # the sweep and its best model are there all the same
        say(f"no sample:  {sample}", errors, style="yellow")
    else:
        say(f"hear it:    {sample}")


def _load(
    space: Path, corpus: str | None, model: str | None, trials: int | None
) -> tuple[Sweep, dict[str, Any]]:
    """The space file's sweep with the options, and which those are."""
    from vibesweep.sweep.search.space import load_space

    options: dict[str, Any] = {
        key: value
        for key, value in (("corpus", corpus), ("model", model), ("trials", trials))
        if value is not None
    }
    return dataclasses.replace(load_space(space), **options), options


def _submit(
    server: str, space: Path, sweep: Sweep, options: dict[str, Any], name: str, work: str
) -> None:
    from vibesweep.sweep.jobs import server as jobs

    job = jobs.submit(server, space, sweep, name, work, options)
    say(f"job {job} runs sweep {name} at {server}")


def _follow(server: str, name: str) -> None:
    from vibesweep.sweep.jobs import server as jobs

    def write(output: str) -> None:
        sys.stdout.write(output)
        sys.stdout.flush()  # into a pipe too it comes as it is made

    if not jobs.follow(server, name, write, say):
        raise typer.Exit(130)


@app.command()
def submit(
    space: SpaceFile,
    corpus: Corpus = None,
    model: Model = None,
    trials: Trials = None,
    name: Name = None,
    work: Work = ".",
    address: Address = None,
) -> None:
    """Hand a sweep to a cluster's job server, as `run --address` does, and leave it alone."""
    sweep, options = _load(space, corpus, model, trials)
    from vibesweep.sweep.jobs.server import the_job_server

    _submit(the_job_server(address), space, sweep, options, name or space.stem, work)


@app.command()
def attach(sweep: JobName, address: Address = None) -> None:
    """Come back to a sweep that a job server runs: its output from the beginning. Ctrl-C leaves it alone."""
    from vibesweep.sweep.jobs.server import the_job_server

    _follow(the_job_server(address), sweep)


@app.command()
def logs(sweep: JobName, address: Address = None) -> None:
    """Print what a sweep that a job server runs, or ran, has put out so far."""
    from vibesweep.sweep.jobs import server as jobs

    sys.stdout.write(jobs.logs(jobs.the_job_server(address), sweep))


@app.command()
def stop(sweep: JobName, address: Address = None) -> None:
    """End a sweep that a job server runs, as Ctrl-C ends one that runs here: all that it has is kept."""
    from vibesweep.sweep.jobs import server as jobs

    jobs.stop(jobs.the_job_server(address), sweep, say)


@app.command("demo-corpus")
def demo_corpus(
    out: Annotated[Path, typer.Argument(help="The corpus folder to write.")],
    recordings: Annotated[int, typer.Option(min=2, help="How many dialogues.")] = 48,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Speak a corpus of two-speaker dialogues, English and Mandarin, with eSpeak NG."""
    from vibesweep.corpus.demo.dialogues import write_demo_corpus

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
            help="Whose encoders hear the corpus too: vibevoice:<folder or hub id>; a mel base has none."
        ),
    ] = "",
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
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    max_reject_fraction: Annotated[
        float, typer.Option(help="More recordings than this that cannot be used are an error.")
    ] = 0.2,
) -> None:
    """Turn recordings and texts into Parquet shards of log-mels, phonemes and a model's features. Done once, it is not done again."""
    from vibesweep.config import CorpusSettings

    settings = CorpusSettings(
        language=language,
        max_duration_s=max_duration,
        split_by=split_by,
        val_fraction=val_fraction,
        val_ids=tuple(filter(None, map(str.strip, val_ids.split(",")))),
        seed=seed,
        max_reject_fraction=max_reject_fraction,
    )
    from vibesweep.corpus.preprocess.progress import shown
    from vibesweep.corpus.preprocess.run import preprocess as make_shards

    encoder = None
    if model:
        from vibesweep.models.bundle import encoder_of

        encoder = encoder_of(model)
    with shown(console) as tell:
        manifest = make_shards(corpus, out, settings, encoder=encoder, tell=tell)
    clips, hours = manifest.clips, sum(manifest.hours.values())
    rejected, warned = sum(manifest.rejects.values()), sum(manifest.warnings.values())
    say(
        f"{clips['train']} training and {clips['val']} validation clips, {hours:.2f} h, {rejected} rejected, {warned} warnings, in {out}"
    )
    for file, counts in (("rejects", manifest.rejects), ("warnings", manifest.warnings)):
        for reason, count in counts.items():
            say(f"  {count} x {reason} (see {out}/{file}.parquet)")


@app.command()
def inspect(
    shards: Annotated[str, typer.Argument(help="A folder of shards; a path or URI.")],
    pictures: Annotated[int, typer.Option(min=0, help="How many clips' mels to draw.")] = 4,
    out: Annotated[Path, typer.Option(help="The folder for the pictures.")] = Path("mels"),
) -> None:
    """Tell what shards hold: hours, durations, speakers, languages, levels, rejects; and draw the mels of a few clips."""
    from vibesweep.corpus.shards.inspection import describe, draw_mels

    console.print(describe(shards))
    for path in draw_mels(shards, out, pictures) if pictures else ():
        say(f"mel: {path}")


@app.command("list")
def list_all(work: Work = ".") -> None:
    """Name the sweeps, with their state and best loss."""
    from vibesweep.sweep.record.show import sweeps_table

    console.print(sweeps_table(work))


@app.command()
def show(
    sweep: SweepName,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the whole record as JSON.")
    ] = False,
    work: Work = ".",
) -> None:
    """Show a sweep's trials, best first."""
    from vibesweep.sweep.record import find_sweep
    from vibesweep.sweep.record.show import sweep_table

    record = find_sweep(sweep, work).read()
    if as_json:
        sys.stdout.write(
            json.dumps(
                dataclasses.asdict(record) | {"best": record.best and record.best.id}, indent=1
            )
            + "\n"
        )
    else:
        console.print(sweep_table(record))


@app.command()
def export(
    sweep: SweepName,
    out: Annotated[Path, typer.Option(help="The folder to write.")],
    layout: Annotated[
        str | None,
        typer.Option(
            help="For VibeVoice: merged, the default; peft, lora (ComfyUI's) or original."
        ),
    ] = None,
    work: Work = ".",
) -> None:
    """Write the best trial as a model folder, with its provenance, to be spoken with, tuned further or handed on."""
    from vibesweep.delivery.export import export as export_best
    from vibesweep.sweep.record import find_sweep

    export_best(find_sweep(sweep, work), out, layout)
    say(f"exported to {out}")


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
    """Write an original VibeVoice checkpoint in transformers' layout, which sweeps take; weights stay the same to the bit."""
    from vibesweep.models.vibevoice.checkpoint.convert import convert as write_again

    write_again(checkpoint, out, tokenizer)
    say(f"converted to {out}")


@app.command()
def synthesize(
    model: Annotated[
        str,
        typer.Argument(
            help="An exported folder, a path or URI, a VibeVoice checkpoint's, or a shipped base's name."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The wav file to write, 24 kHz.")],
    text: Annotated[
        str | None, typer.Option(help='What to say: "[SPEAKER_A] Hello. [SPEAKER_B] Hi."')
    ] = None,
    script: Annotated[
        Path | None, typer.Option(help="A text file with what to say, in place of --text.")
    ] = None,
    voice: Annotated[
        list[str] | None,
        typer.Option(
            help="For each speaker, in order, a voice of the model, or for VibeVoice a recording; repeat it."
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
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
) -> None:
    """Speak a text with a model."""
    words = _words(text, script)

    from vibesweep.delivery.synthesize import default_settings, model_folder
    from vibesweep.delivery.synthesize import synthesize as speak

    with model_folder(model) as folder:
        settings = dataclasses.replace(default_settings(folder), diffusion_steps=steps, seed=seed)
        if guidance is not None:
            settings = dataclasses.replace(settings, guidance=guidance)
        speech = speak(folder, words, out, voices=voice or (), settings=settings)
    cast = ", ".join(f"{tag} as {name}" for tag, name in speech.voices.items())
    say(f"{speech.seconds:.1f} s in {out}" + (f" ({cast})" if cast else ""))
    if speech.cut:
        say("the model did not stop by itself: the speech was cut", errors, style="yellow")


def _words(text: str | None, script: Path | None) -> str:
    if (text is None) == (script is None):
        raise SpeechError(
            "what is to be said is given by one of two options",
            where="--text, --script",
            fix="give one of them",
        )
    if script is None:
        return text or ""
    try:
        return script.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        raise SpeechError(
            f"the script cannot be read: {error}",
            where=str(script),
            fix="name a text file in UTF-8",
        ) from error

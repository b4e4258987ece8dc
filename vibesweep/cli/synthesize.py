"""The verb that speaks a text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vibesweep.cli.application import Work, app, error_console, say, say_aside
from vibesweep.errors import SpeechError

if TYPE_CHECKING:
    from vibesweep.models.family import Speech


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
    from vibesweep.delivery.synthesize import fetched_model, model_named
    from vibesweep.delivery.synthesize import synthesize as speak
    from vibesweep.models.family import SpeakingSettings

    check_speech_file(out)
    settings = SpeakingSettings(
        diffusion_steps=steps, guidance=guidance, seed=seed, language=language
    )
    with fetched_model(model_named(model, work)) as base:
        speech = speak(base, words, out, voices=voice or (), settings=settings, tell=say_aside)
    _say_what_was_spoken(speech, out)


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

"""The Typer app, how it prints, and what becomes of errors."""

from __future__ import annotations

import logging
import shlex
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, TextIO, cast

import typer
from rich.console import Console

from vibesweep.cli.plain_console import PlainConsole
from vibesweep.errors import VibesweepError
from vibesweep.progress import JsonLines, shown_on
from vibesweep.storage.os_errors import storage_error
from vibesweep.storage.secrets import without_secrets
from vibesweep.version import __version__

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell has it

HELP = (
    "Find the best fine-tuning of a VibeVoice-like model on your recordings, "
    "and take the tuned voice away."
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = PlainConsole(markup=False)
error_console = PlainConsole(markup=False, stderr=True)


@dataclass
class _Asked:
    """What the options before the verb ask for."""

    debug: bool = False


_asked = _Asked()


def _show_version(asked: bool) -> None:
    if asked:
        say(f"vibesweep {__version__}")
        raise typer.Exit


@app.callback(help=HELP)
def before_the_verb(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Print the version and end."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print the traceback of an error too.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", help="Print nothing but errors and warnings.")
    ] = False,
    json_log: Annotated[
        bool,
        typer.Option("--json-log", help="Print each line, and progress, as a line of JSON."),
    ] = False,
) -> None:
    """Take the options that all verbs share."""
    _asked.debug = debug
    if quiet:
        console.quiet = True
    if json_log:
        console.file = cast(TextIO, JsonLines(sys.stdout))
        error_console.file = cast(TextIO, JsonLines(sys.stderr))


Work = Annotated[
    str,
    typer.Option(
        envvar="VIBESWEEP_WORK", help="The folder that holds sweeps and shards; a path or URI."
    ),
]
"""The option that every verb about sweeps has."""


def main() -> None:
    """Run a verb.

    An error that the user can mend is printed as one line, with exit code 2; --debug gives its
    traceback and code 1, as of an error of our own. Ctrl-C gives 130.
    """
    _hide_remarks_to_developers()
    try:
        with shown_on(console):
            app(standalone_mode=True)
    except Exception as error:
        told = user_error(error)
        if told is None or _asked.debug:
            raise
        say(without_secrets(f"error: {told}"), error_console, style="red")
        sys.exit(USER_ERROR)
    except KeyboardInterrupt:
        say("stopped", error_console, style="yellow")
        sys.exit(INTERRUPTED)


def user_error(error: Exception) -> VibesweepError | None:
    """Return what the user can mend about an error; ``None`` where it is our own mistake."""
    return error if isinstance(error, VibesweepError) else storage_error(error)


def with_hint(error: VibesweepError, hint: str) -> VibesweepError:
    """Return the error with one more thing to do, as an instruction."""
    fix = f"{error.fix}; {hint}" if error.fix else hint
    return type(error)(error.found, where=error.where, fix=fix)


@contextmanager
def ctrl_c_says(what: str) -> Iterator[None]:
    """Say on Ctrl-C what is kept and how to go on, and exit with 130."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"stopped: {what}", error_console, style="yellow")
        raise typer.Exit(INTERRUPTED) from None


def say(line: str, where: Console = console, style: str | None = None) -> None:
    """Print a line as it is: no markup in a path, and no line break in the middle of one."""
    where.print(line, style=style, markup=False, highlight=False, soft_wrap=True)


def say_aside(line: str) -> None:
    """Print a line beside a verb's result, which may go into a pipe."""
    say(line, error_console)


def say_next(*command: str) -> None:
    """Name the verb that comes next, as it is typed; a word in capitals is the reader's to fill."""
    say(f"next:       vibesweep {shlex.join(command)}")


def work_option(work: str) -> tuple[str, ...]:
    """Return --work as the next command needs it to find a sweep by its name."""
    return () if work == "." else ("--work", work)


def names_in(listed: str) -> tuple[str, ...]:
    """Split names at their commas; spaces around them and empty ones are dropped."""
    stripped = [name.strip() for name in listed.split(",")]
    return tuple(name for name in stripped if name)


def _hide_remarks_to_developers() -> None:
    """Hide what libraries say to developers, unless -W or PYTHONWARNINGS asks for warnings.

    bitsandbytes, which peft imports where it is installed, misses kernels that nothing here uses.
    """
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

"""The Typer app, how it prints, and what becomes of errors."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console

from vibesweep.errors import VibesweepError
from vibesweep.storage.os_errors import storage_error

USER_ERROR = 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell has it

app = typer.Typer(
    help=(
        "Find the best fine-tuning of a VibeVoice-like model on your recordings, "
        "and take the tuned voice away."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
console = Console()
error_console = Console(stderr=True)

Work = Annotated[
    str,
    typer.Option(
        envvar="VIBESWEEP_WORK", help="The folder that holds sweeps and shards; a path or URI."
    ),
]
"""The option that every verb about sweeps has."""


def main() -> None:
    """Run a verb.

    An error that the user can mend is printed as one line, with exit code 2. Ctrl-C gives 130.
    """
    _hide_transformers_future_warnings()
    try:
        app(standalone_mode=True)
    except Exception as error:
        told = user_error(error)
        if told is None:
            raise
        say(f"error: {told}", error_console, style="red")
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


def _hide_transformers_future_warnings() -> None:
    """Hide what transformers says to developers, unless -W or PYTHONWARNINGS asks for warnings."""
    if not sys.warnoptions:
        warnings.filterwarnings("ignore", category=FutureWarning, module=r"transformers\.")

"""What follows a search: the best voice, what is heard of it, and the report."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from vibesweep.cli.application import ctrl_c_says, error_console, say, user_error, with_hint
from vibesweep.errors import VibesweepError

if TYPE_CHECKING:
    from vibesweep.delivery.judge import Judged
    from vibesweep.sweep.record.folder import SweepFolder


def deliver(folder: SweepFolder) -> None:
    """Export the best trial and speak with it; where that fails, tell that nothing is lost."""
    from vibesweep.delivery.best import deliver_best, hand_over
    from vibesweep.sweep.record.states import SweepState

    with _told_that_it_is_safe(folder):
        bundle, sample = deliver_best(folder)
    judged = None
    record = folder.read()
    if record.state == SweepState.DONE or record.reached:
        judged = _judge(folder)
    if judged is not None and judged.preferred is not None:
        with _told_that_it_is_safe(folder):
            bundle, sample = hand_over(folder, judged.preferred)
    is_best = judged is None or judged.speaks
    say(f"best model: {bundle}" if is_best else f"smallest loss: {bundle}")
    if isinstance(sample, VibesweepError):
        # The sweep and its best model are there all the same
        say(f"no sample:  {sample}", error_console, style="yellow")
    else:
        say(f"hear it:    {sample}")
    if judged is not None:
        _say_what_was_heard(judged)


def voice_is_safe(folder: SweepFolder) -> str:
    """Say how to get at the voice that a sweep has found, whatever happened since."""
    return f"the voice is safe: `vibesweep export {folder.place} --out FOLDER` writes it"


@contextmanager
def _told_that_it_is_safe(folder: SweepFolder) -> Iterator[None]:
    """Add to a user's error, and to Ctrl-C, how to get at the voice that was found."""
    try:
        with ctrl_c_says(voice_is_safe(folder)):
            yield
    except Exception as error:
        told = user_error(error)
        if told is None:
            raise
        raise with_hint(told, voice_is_safe(folder)) from error


def write_the_report(folder: SweepFolder) -> None:
    """Write the report; where that fails, the sweep and its voice are there all the same."""
    from vibesweep.delivery.report.write import write_report

    again = f"`vibesweep report {folder.place}` writes the report"
    try:
        with ctrl_c_says(again):
            page = write_report(folder)
    except Exception as error:
        told = user_error(error)
        if told is None:
            raise
        say(f"no report:  {with_hint(told, again)}", error_console, style="yellow")
    else:
        say(f"report:     {page}")


def _judge(folder: SweepFolder) -> Judged | None:
    """Judge the voices by ear; where that is not possible, say why."""
    from vibesweep.delivery.judge import judge

    try:
        with ctrl_c_says(voice_is_safe(folder)):
            return judge(folder)
    except Exception as error:
        told = user_error(error)
        if told is None:
            raise
        say(f"not judged by ear: {told}", error_console, style="yellow")
        return None


def _say_what_was_heard(judged: Judged) -> None:
    quality = judged.quality
    if quality.missing:
        say(quality.missing)
    say(f"by ear: {quality.verdict}", style=None if judged.speaks else "yellow")
    if judged.remark:
        say(judged.remark)

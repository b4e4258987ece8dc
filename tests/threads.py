"""Trials that share a worker, each in a thread of its own, as on a lane."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from vibesweep.training.worker_context import WorkerContext


def run_in_threads(
    context: WorkerContext, trials: Sequence[Callable[[], None]], limit_s: float = 60.0
) -> None:
    """Run each in a thread, in turns, and raise the first error that any of them raised."""
    errors: list[BaseException] = []

    def run(trial: Callable[[], None]) -> None:
        try:
            with context.turns:
                trial()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(trial,), daemon=True) for trial in trials]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(limit_s)
        if errors:
            raise errors[0]
    assert not any(thread.is_alive() for thread in threads), "a trial waits for ever"

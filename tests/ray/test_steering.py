"""A sweep is paused, loses a trial and is stopped from another process, and then goes on."""

from __future__ import annotations

from pathlib import Path

from tests import chaos
from tests.waiting import wait_until
from vibesweep.sweep.asking import ask, ask_to_stop
from vibesweep.sweep.record import SweepState, TrialState
from vibesweep.sweep.record.log import BY_HAND
from vibesweep.sweep.record.requests import Request, Wish

ENDLESS = "Budget(1_000_000, 5, 1_000_000)"
PATIENCE_S = 60.0


def test_it_does_what_is_asked(ray_cluster: str, tmp_path: Path) -> None:
    place = chaos.make_place(tmp_path, RAY_ADDRESS=ray_cluster)
    budget = f"Budget({chaos.BUDGET.max_steps}, {chaos.BUDGET.grace_steps}, "
    text = place.space.read_text()
    begins = text.index(budget)
    ends = text.index(")", begins) + 1
    place.space.write_text(text[:begins] + ENDLESS + text[ends:])
    folder = place.folder("steered")
    with chaos.running(place, "steered") as process:
        assert chaos.wait_for_reports(place, "steered", process, 1)
        ask(folder, Request(Wish.PAUSE))
        assert wait_until(lambda: folder.read().state == SweepState.PAUSED, PATIENCE_S)
        ask(folder, Request(Wish.STOP, "trial_000"))
        ask(folder, Request(Wish.GO_ON))
        assert wait_until(lambda: len(folder.read().trials) == 2, PATIENCE_S)
        said: list[str] = []
        record = ask_to_stop(folder, said.append)
        code = process.wait(timeout=PATIENCE_S)
    assert record.state == SweepState.STOPPED
    first, second = record.trials
    assert (first.state, first.reason) == (TrialState.PRUNED, BY_HAND)
    assert second.state == TrialState.STOPPED
    output = place.said("steered").read_text()
    assert code == 0, output
    assert "trial_000 ends at its next report" in output

"""A sweep is paused, cloned into, killed and stopped from another process, and then goes on."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from tests import chaos
from tests.waiting import wait_until
from vibesweep.cli import app
from vibesweep.sweep.asking import ask, ask_to_stop
from vibesweep.sweep.record import SweepFolder, SweepState, TrialState
from vibesweep.sweep.record.log import BY_HAND
from vibesweep.sweep.record.record import TrialRecord
from vibesweep.sweep.record.requests import Request, Wish
from vibesweep.training.state.full_state import has_state, saved_step

ENDLESS = "Budget(1_000_000, 200, 1_000_000)"
"""Whose reports are rare: the log is read again and again here, and grows with each."""


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
        assert wait_until(lambda: has_state(folder.states / "trial_000"), chaos.PATIENCE_S)
        ask(folder, Request(Wish.PAUSE))
        assert wait_until(lambda: folder.read().state == SweepState.PAUSED, chaos.PATIENCE_S)
        assert wait_until(lambda: has_all_saved(folder), chaos.PATIENCE_S)
        assert "goes on from step" in clone_first_trial(place)
        record = folder.read()
        assert (len(record.trials), record.trials_wanted) == (1, chaos.TRIALS + 1)
        assert "clone begins at step" in place.said("steered").read_text()
        chaos.kill(process, chaos.Kill.DRIVER)
    (asked,) = folder.read().clones
    with chaos.running(place, "steered", resume=True) as process:
        (first,) = folder.read().trials
        assert wait_until(lambda: newest(folder).step > first.step, chaos.PATIENCE_S)
        ask(folder, Request(Wish.STOP, "trial_000"))
        assert wait_until(lambda: newest(folder).step > asked["step"], chaos.PATIENCE_S)
        ask(folder, Request(Wish.STOP, "trial_001"))
        assert wait_until(lambda: len(folder.read().trials) == 3, chaos.PATIENCE_S)
        said: list[str] = []
        record = ask_to_stop(folder, said.append)
        code = process.wait(timeout=chaos.PATIENCE_S)
    assert record.state == SweepState.STOPPED
    first, clone, third = record.trials
    assert (first.state, first.reason) == (TrialState.PRUNED, BY_HAND)
    assert (clone.cloned_from, clone.cloned_at_step) == (0, asked["step"])
    assert saved_step(folder.clones / clone.origin) == asked["step"] > 0
    assert clone.settings == {**first.settings, "learning_rate": 1e-5}
    assert (third.state, third.cloned_from) == (TrialState.STOPPED, None)
    assert len(record.clones) == 1
    output = place.said("steered").read_text()
    assert code == 0, output
    assert "trial_000 ends at its next report" in output
    assert f"cloned from trial 0 at step {asked['step']}" in output


def has_all_saved(folder: SweepFolder) -> bool:
    """Tell whether the state of the only trial is that of its last report."""
    trial = newest(folder)
    return saved_step(folder.states / trial.id) == trial.step


def newest(folder: SweepFolder) -> TrialRecord:
    return folder.read().trials[-1]


def clone_first_trial(place: chaos.Place) -> str:
    """Ask for a clone by the command line, typed in this process, and return what it says."""
    verb = ["clone", "steered", "0", "--set", "learning_rate=1e-5", "--work", str(place.work)]
    return CliRunner().invoke(app, verb, catch_exceptions=False).output

"""The verb that says what a sweep will take."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from vibesweep.cli.application import USER_ERROR, Work, app, say, say_aside
from vibesweep.cli.sweep_options import (
    Corpus,
    Model,
    PricePerHour,
    Set,
    SpaceFile,
    Trials,
    with_options,
)


@app.command()
def plan(
    space: SpaceFile,
    corpus: Corpus = None,
    model: Model = None,
    trials: Trials = None,
    fixed: Set = None,
    lanes: Annotated[
        int | None, typer.Option(min=1, help="Trials that train at the same time.")
    ] = None,
    price_per_hour: PricePerHour = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all figures as JSON.")] = False,
    work: Work = ".",
) -> None:
    """Say what a sweep will take, and which settings would fail.

    Nothing is trained. 1,000 settings are drawn, and each is held against the model.
    """
    from vibesweep.storage import StoragePath
    from vibesweep.sweep.plan.planning import plan_sweep
    from vibesweep.sweep.plan.text import plan_as_json, plan_lines
    from vibesweep.sweep.search.space import check_fixed
    from vibesweep.sweep.search.space_file import read_space

    found = read_space(space)
    sweep, _ = with_options(found, fixed, corpus=corpus, model=model, trials=trials)
    check_fixed(sweep)
    planned = plan_sweep(sweep, StoragePath.of(work), str(space), say_aside, lanes)
    if as_json:
        text = json.dumps(plan_as_json(planned, price_per_hour), indent=1)
        sys.stdout.write(f"{text}\n")
    else:
        for line in plan_lines(planned, price_per_hour):
            say(line)
    if planned.survey.ends_the_sweep:
        raise typer.Exit(USER_ERROR)

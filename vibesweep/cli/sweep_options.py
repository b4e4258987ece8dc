"""The options of verbs about sweeps, each spelt once, and the sweep that they make of a space."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from vibesweep.config import Sweep
    from vibesweep.sweep.allowance import Allowance

SpaceFile = Annotated[Path, typer.Argument(help="A Python file that defines `sweep = Sweep(...)`.")]
Corpus = Annotated[
    str | None, typer.Option(help="A corpus folder, a folder of shards, or demo; a path or URI.")
]
Model = Annotated[
    str | None, typer.Option(help="A base's name or folder, or vibevoice:<folder or hub id>.")
]
Trials = Annotated[int | None, typer.Option(min=1, help="How many settings to try.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Fix a setting, name=value, whatever the space suggests for it; repeat it.",
    ),
]
MaxFailedFraction = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="End the sweep once more than this fraction of its trials has failed.",
    ),
]
Name = Annotated[
    str | None,
    typer.Option(help="Name of the folder sweeps/NAME; the space file's name unless given."),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with the sweep of that name, which was interrupted or stopped; "
        "with a larger --trials or --max-steps, with one that has ended.",
    ),
]
Track = Annotated[
    str, typer.Option(help="Tell these of each trial too: mlflow, wandb, with a comma between.")
]
RepeatBest = Annotated[
    int | None,
    typer.Option(min=0, help="Run so many of the best trials again, with other seeds."),
]
WarmStart = Annotated[
    list[str] | None,
    typer.Option(help="An earlier sweep, whose trials inform the search; repeat it."),
]
MaxHours = Annotated[
    float | None, typer.Option(min=0, help="End this run after so many hours, to be resumed.")
]
MaxGpuHours = Annotated[
    float | None, typer.Option(min=0, help="The same, in hours of the GPUs that the lanes hold.")
]
MaxCost = Annotated[
    float | None, typer.Option(min=0, help="The same, in money: see --price-per-hour.")
]
PricePerHour = Annotated[
    float | None, typer.Option(min=0, help="What a GPU costs an hour, or a CPU without GPUs.")
]
LongerTrials = Annotated[
    int | None,
    typer.Option(
        "--max-steps",
        min=1,
        help="With --resume: whole trials take so many steps from now on, more than before.",
    ),
]
SweepName = Annotated[str, typer.Argument(help="A sweep's name, or its folder's path or URI.")]
JobName = Annotated[str, typer.Argument(help="A sweep's name.")]
JobServer = Annotated[
    str | None,
    typer.Option(
        "--address",
        help=(
            "A cluster's job server, http://HEAD:8265; "
            "RAY_API_SERVER_ADDRESS and RAY_ADDRESS are looked at too."
        ),
    ),
]


def loaded_sweep(
    space: Path,
    corpus: str | None,
    model: str | None,
    trials: int | None,
    max_failed_fraction: float | None,
    fixed: list[str] | None,
    repeat_best: int | None,
) -> tuple[Sweep, dict[str, Any]]:
    """Load the space file's sweep, changed by the options; return it and the options given."""
    from vibesweep.sweep.search.space import check_fixed
    from vibesweep.sweep.search.space_file import load_space

    sweep, given = with_options(
        load_space(space),
        fixed,
        corpus=corpus,
        model=model,
        trials=trials,
        max_failed_fraction=max_failed_fraction,
    )
    check_fixed(sweep)
    if repeat_best is None:
        return sweep, given
    return dataclasses.replace(sweep, repeat_best=repeat_best), given | {"repeat-best": repeat_best}


def with_options(
    sweep: Sweep, fixed: list[str] | None, **options: Any
) -> tuple[Sweep, dict[str, Any]]:
    """Return a space file's sweep, changed by the options that are given, and these."""
    from vibesweep.sweep.search.fixed import with_fixed

    given = {name: value for name, value in options.items() if value is not None}
    changed = dataclasses.replace(sweep, **given)
    if not fixed:
        return changed, given
    return with_fixed(changed, fixed), given | {"set": fixed}


def run_options_of_a_job(
    track: str, allowance: Allowance, warm_start: list[str] | None
) -> dict[str, Any]:
    """Return the trackers, the allowance and the earlier sweeps as a job takes them.

    Where the trackers are, the environment of the job's host says.
    """
    known = dataclasses.asdict(allowance).items()
    given = {name.replace("_", "-"): value for name, value in known if value is not None}
    tracking = {"track": track} if track else {}
    return tracking | given | {"warm-start": warm_start or []}

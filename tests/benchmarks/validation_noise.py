"""How much of the validation loss is chance: the loss of trials of lr_opt under many draws of the validation's noise and times.

    python -m tests.benchmarks.validation_noise [--sweep sweeps/lr_opt]

A sweep's trials are all validated under one and the same draw. Under another one all losses would shift together; what could change the
order of two trials is how unlike they shift. Both spreads are told, against the difference between the best and the median trial.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
from pathlib import Path

from torch import nn

from tests.benchmarks.measure import Measure, tell
from vibesweep.models.bundle import load_bundle
from vibesweep.sweep.record.record import SweepFolder, SweepRecord, TrialRecord
from vibesweep.sweep.run import run_sweep
from vibesweep.sweep.search.space import load_space
from vibesweep.training.state.checkpoint import load_checkpoint
from vibesweep.training.worker_context import (
    VALIDATION_REPEATS,
    WorkerContext,
    World,
    validation_batches,
)

SPACE = Path(__file__).parents[2] / "search_spaces" / "lr_opt.py"
DRAWS = 16


def losses(context: WorkerContext, model: nn.Module, repeats: int) -> list[float]:
    """The validation loss under each draw."""
    found = []
    clips = context.held_out
    for draw in range(DRAWS):
        batches = validation_batches(context.collator, clips, "cpu", repeats, draw=draw)
        found.append(dataclasses.replace(context, validation=batches).validate(model))
    return found


def ranked(record: SweepRecord) -> tuple[TrialRecord, TrialRecord]:
    """The best trial and the median one of those that have a loss."""
    done = sorted(
        (t for t in record.trials if t.best_loss_val is not None),
        key=lambda trial: trial.best_loss_val or 0.0,
    )
    return done[0], done[len(done) // 2]


def main() -> None:
    """Run the sweep unless one is given, and validate its best and its median trial again and again."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweep", type=Path, help="a sweep that is there already")
    given = parser.parse_args().sweep
    with tempfile.TemporaryDirectory() as scratch:
        folder = (
            SweepFolder(given)
            if given
            else run_sweep(load_space(SPACE), "lr_opt", work=Path(scratch))
        )
        record = folder.read()
        context = WorkerContext.open(record.model, record.shards, World())
        best, median = (
            load_checkpoint(load_bundle(record.model).model, folder.checkpoints / t.id)[0].eval()
            for t in ranked(record)
        )
        measures = []
        for repeats in (4, VALIDATION_REPEATS[1]):
            measures += measured(
                losses(context, best, repeats), losses(context, median, repeats), repeats
            )
    tell(
        f"validation of lr_opt's best and median trial under {DRAWS} draws, {len(context.held_out)} clips",
        measures,
    )


def measured(best: list[float], median: list[float], repeats: int) -> list[Measure]:
    """Spreads with so many noised copies of each latent, as shares of the difference between the two trials."""
    apart = statistics.fmean(median) - statistics.fmean(best)
    shifts = statistics.stdev(m - b for m, b in zip(median, best, strict=True))
    alone = statistics.stdev(best)
    return [
        Measure(f"{repeats} copies: best", statistics.fmean(best)),
        Measure(f"{repeats} copies: median less best", apart),
        Measure(
            f"{repeats} copies: spread of the best's loss from draw to draw, share of that",
            alone / apart,
        ),
        Measure(
            f"{repeats} copies: spread of the difference itself, share of it",
            shifts / apart,
            0.01,
            at_least=False,
        ),
    ]


if __name__ == "__main__":
    main()

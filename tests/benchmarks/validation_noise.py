"""How much of the validation loss is chance: lr_opt's trials under many draws of noise and times.

    python -m tests.benchmarks.validation_noise [--sweep sweeps/lr_opt]

All trials of a sweep are validated under one and the same draw. Under another draw all losses would
shift together; the order of two trials could change only as far as they shift differently. Both
spreads are printed as shares of the difference between the best and the median trial.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import tempfile
from pathlib import Path

from torch import nn

from tests.benchmarks.measure import Measure, print_measures
from vibesweep.models.registry import ModelRef
from vibesweep.sweep.record import SweepFolder, SweepRecord, TrialRecord
from vibesweep.sweep.run import run_sweep
from vibesweep.sweep.search.space_file import load_space
from vibesweep.training.state.checkpoint import load_checkpoint
from vibesweep.training.validation import LEAST_REPEATS, MOST_REPEATS, validation_batches
from vibesweep.training.worker_context import WorkerContext
from vibesweep.training.workers import World

SPACE = Path(__file__).parents[2] / "search_spaces" / "lr_opt.py"
DRAWS = 16
MOST_SPREAD_OF_THE_DIFFERENCE = 0.01


def losses_by_draw(context: WorkerContext, model: nn.Module, repeats: int) -> list[float]:
    """Return the validation loss under each draw."""
    losses = []
    clips = context.validation_clips
    for draw in range(DRAWS):
        batches = validation_batches(context.collator, clips, "cpu", repeats, draw=draw)
        with_draw = dataclasses.replace(context, validation_batches=batches)
        losses.append(with_draw.validate(model))
    return losses


def best_and_median(record: SweepRecord) -> tuple[TrialRecord, TrialRecord]:
    """Return the best trial and the median one of those that have a loss."""
    losses = {trial.id: trial.best_loss_val for trial in record.trials}
    finished = [(loss, trial_id) for trial_id, loss in losses.items() if loss is not None]
    ordered = [trial_id for _, trial_id in sorted(finished)]
    trials = {trial.id: trial for trial in record.trials}
    return trials[ordered[0]], trials[ordered[len(ordered) // 2]]


def trained_model(record: SweepRecord, folder: SweepFolder, trial: TrialRecord) -> nn.Module:
    """Return the model of a trial's best checkpoint."""
    base = ModelRef.parse(record.model).load()
    model, _, _ = load_checkpoint(base, folder.checkpoints / trial.id)
    return model.eval()


def main() -> None:
    """Run the sweep unless one is given, and validate its best and its median trial many times."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sweep", type=Path, help="a sweep that has run already")
    sweep = parser.parse_args().sweep
    with tempfile.TemporaryDirectory() as scratch:
        if sweep:
            folder = SweepFolder(sweep)
        else:
            folder = run_sweep(load_space(SPACE), "lr_opt", work=Path(scratch))
        record = folder.read()
        context = WorkerContext.open(ModelRef.parse(record.model), record.shards, World())
        best, median = (trained_model(record, folder, trial) for trial in best_and_median(record))
        measures = []
        for repeats in (LEAST_REPEATS, MOST_REPEATS):
            of_best = losses_by_draw(context, best, repeats)
            of_median = losses_by_draw(context, median, repeats)
            measures += spreads(of_best, of_median, repeats)
    clips = len(context.validation_clips)
    title = f"validation of lr_opt's best and median trial, {DRAWS} draws, {clips} clips"
    print_measures(title, measures)


def spreads(best: list[float], median: list[float], repeats: int) -> list[Measure]:
    """Return the spreads with so many noised copies of each latent.

    They are shares of the difference between the two trials' mean losses.
    """
    apart = statistics.fmean(median) - statistics.fmean(best)
    differences = [m - b for m, b in zip(median, best, strict=True)]
    of_difference = statistics.stdev(differences) / apart
    of_best = statistics.stdev(best) / apart
    copies = f"{repeats} copies"
    most = MOST_SPREAD_OF_THE_DIFFERENCE
    return [
        Measure(f"{copies}: best", statistics.fmean(best)),
        Measure(f"{copies}: median less best", apart),
        Measure(f"{copies}: spread of the best's loss from draw to draw, share of that", of_best),
        Measure(
            f"{copies}: spread of the difference itself, share of it", of_difference, most, False
        ),
    ]


if __name__ == "__main__":
    main()

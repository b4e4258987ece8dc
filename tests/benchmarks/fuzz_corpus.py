"""Made-up corpora: none may crash preprocessing, lose a row, or be taken for another thing.

Ten thousand corpora are broken in any way; ten thousand inputs are whole and of the kinds that
people bring (tests/readings.py), and come out as they are meant, or with a word.

python -m tests.benchmarks.fuzz_corpus [--cases 10000]
"""

from __future__ import annotations

import argparse
import logging
import random
import time

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests import fuzz
from tests.benchmarks.measure import Measure, print_measures
from tests.readings import KINDS

LINES_SHOWN = 20


def main() -> None:
    """Try half the cases on whole tables with all kinds of files, and half on damaged tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000)
    cases = parser.parse_args().cases
    logging.getLogger("vibesweep").setLevel(logging.ERROR)
    began = time.perf_counter()
    tried = try_cases(cases)
    seconds = time.perf_counter() - began
    inputs, silent = try_readings(cases)
    for line in silent[:LINES_SHOWN]:
        print(line)
    print_measures(
        "made-up corpora",
        [
            Measure("cases a second", tried / seconds),
            Measure("cases without a crash or a lost row", tried, cases),
            Measure("inputs read", inputs, cases),
            Measure("silent misreadings", len(silent), 0, at_least=False),
        ],
    )


def try_readings(inputs: int) -> tuple[int, list[str]]:
    """Read so many inputs, as many of each kind; say how many, and what was misread silently."""
    tried, silent = 0, []
    for name, attempt in KINDS.items():
        of_kind, number = 0, 0
        while of_kind < inputs / len(KINDS):
            count, misread = attempt(random.Random(f"{name} {number}"))
            silent += [f"{name}: {line}" for line in misread]
            of_kind += count
            number += 1
        tried += of_kind
    return tried, silent


def try_cases(cases: int) -> int:
    """Check so many cases and return how many passed."""
    many = settings(
        max_examples=cases // 2,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    tried = 0

    @seed(0)
    @many
    @given(st.lists(fuzz.rows(), min_size=1, max_size=3))
    def whole_corpora(rows: list[fuzz.Row]) -> None:
        nonlocal tried
        fuzz.check(fuzz.table(rows), rows, len(rows))
        tried += 1

    @seed(0)
    @many
    @given(fuzz.damaged_tables())
    def damaged_tables(text: str) -> None:
        nonlocal tried
        fuzz.check(text, [], None)
        tried += 1

    whole_corpora()
    damaged_tables()
    return tried


if __name__ == "__main__":
    main()

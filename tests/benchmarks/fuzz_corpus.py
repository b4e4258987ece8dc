"""Ten thousand made-up corpora: preprocessing may neither crash on one nor lose a row of it.

python -m tests.benchmarks.fuzz_corpus [--cases 10000]
"""

from __future__ import annotations

import argparse
import logging
import time

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests import fuzz
from tests.benchmarks.measure import Measure, print_measures


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
    print_measures(
        "made-up corpora",
        [
            Measure("cases a second", tried / seconds),
            Measure("cases without a crash or a lost row", tried, cases),
        ],
    )


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

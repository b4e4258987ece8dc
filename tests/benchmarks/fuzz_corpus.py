"""Ten thousand corpora that nobody would have thought of: none may crash the way to shards or lose a row on it.

python -m tests.benchmarks.fuzz_corpus [--cases 10000]
"""

from __future__ import annotations

import argparse
import logging
import time

from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests import fuzz
from tests.benchmarks.measure import Measure, tell


def main() -> None:
    """Try half the cases on whole tables with files of all kinds, and half on damaged tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=10_000)
    cases = parser.parse_args().cases
    logging.getLogger("vibesweep").setLevel(logging.ERROR)
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
    def corpora(made: list[fuzz.Row]) -> None:
        nonlocal tried
        fuzz.check(fuzz.table(made), made, len(made))
        tried += 1

    @seed(0)
    @many
    @given(fuzz.damaged_tables())
    def tables(text: str) -> None:
        nonlocal tried
        fuzz.check(text, [], None)
        tried += 1

    began = time.perf_counter()
    corpora()
    tables()
    seconds = time.perf_counter() - began
    tell(
        "corpora made up",
        [
            Measure("cases a second", tried / seconds),
            Measure("cases without a crash or a lost row", tried, cases),
        ],
    )


if __name__ == "__main__":
    main()

"""No corpus makes preprocessing crash, and no row is lost.

``tests/benchmarks/fuzz_corpus.py`` tries 10,000 corpora.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import fuzz
from tests.readings import KINDS

quickly = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)


@quickly
@given(st.lists(fuzz.rows(), min_size=1, max_size=3))
def test_every_row_becomes_clips_or_a_reject(made: list[fuzz.Row]) -> None:
    fuzz.check(fuzz.table(made), made, len(made))


@quickly
@given(fuzz.damaged_tables())
def test_a_damaged_table_is_read_or_refused(text: str) -> None:
    fuzz.check(text, [], None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_what_people_bring_is_never_taken_for_another_thing(kind: str, seed: int) -> None:
    inputs, misread = KINDS[kind](random.Random(f"{kind} {seed}"))
    assert inputs
    assert misread == []

"""Moments of parts agree with NumPy on the whole."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from vibesweep.corpus.shards.statistics import Moments, added_up


@pytest.mark.parametrize("pairs", [False, True])
def test_parts_of_any_size_agree_with_numpy_on_the_whole(pairs: bool) -> None:
    rng = np.random.default_rng(0)
    far_from_zero = 1e4
    mixed = rng.normal(size=(5_000, 12)) @ rng.normal(size=(12, 12)) + far_from_zero
    rows = mixed.astype(np.float32)
    edges = [0, 1, 1, 40, 41, 3_000, 5_000]
    parts = [Moments.of(rows[first:past], pairs=pairs) for first, past in pairwise(edges)]
    whole = added_up([Moments.none(12, pairs=pairs), *parts])

    exact = rows.astype(np.float64)
    expected = np.cov(exact.T, bias=True) if pairs else exact.var(axis=0)
    assert whole.count == 5_000
    assert whole.mean == pytest.approx(exact.mean(axis=0), rel=1e-12)
    assert whole.covariance.shape == expected.shape
    assert np.abs(whole.covariance - expected).max() < 1e-9 * np.abs(expected).max()


def test_the_order_of_parts_plays_no_role() -> None:
    rows = np.random.default_rng(1).normal(size=(300, 4))
    parts = [Moments.of(rows[start : start + 50], pairs=True) for start in range(0, 300, 50)]
    forward, backward = added_up(parts), added_up(parts[::-1])
    assert forward.covariance == pytest.approx(backward.covariance, rel=1e-12)


def test_adding_changes_neither_part() -> None:
    first, second = Moments.of(np.eye(3)), Moments.of(np.ones((4, 3)))
    before = first.products.copy(), second.products.copy()
    assert added_up([first, second, Moments.none(3)]).count == 7
    assert np.array_equal(first.products, before[0])
    assert np.array_equal(second.products, before[1])


def test_nothing_has_no_spread() -> None:
    nothing = added_up([Moments.none(3), Moments.of(np.zeros((0, 3)))])
    assert nothing.count == 0
    assert nothing.covariance.tolist() == [0.0, 0.0, 0.0]

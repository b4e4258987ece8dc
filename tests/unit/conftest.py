"""Tests that need no Ray have none beside them: an idle one takes a seventh of a core."""

from __future__ import annotations

import pytest

from tests.conftest import end_ray


@pytest.fixture(autouse=True, scope="package")
def no_ray() -> None:
    """End the Ray of the tests before these."""
    end_ray()

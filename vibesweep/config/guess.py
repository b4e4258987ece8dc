"""A user's good guess of a setting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from vibesweep.config.checks import check_choices

LITTLE, FAIRLY, VERY = "little", "fairly", "very"


@dataclass(frozen=True)
class Guess:
    """What a setting probably is best at; the search leans towards it until it knows more.

    Attributes:
        value: of the setting.
        sure: how sure that is: ``little``, ``fairly`` or ``very``.

    Raises:
        SpaceError: ``sure`` is another word.
    """

    value: Any
    sure: str = FAIRLY

    def __post_init__(self) -> None:
        """Refuse a ``sure`` that is none of the three words."""
        check_choices(self, {"sure": (LITTLE, FAIRLY, VERY)})

"""A console that prints texts from files as they are, without obeying their control characters.

Names, texts and reasons come from tables and records that somebody else may have written. A
terminal would take escape sequences in them for orders: to change what was printed before, or to
set its title.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

_ORDERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""All control characters but tab and line feed."""


class PlainConsole(Console):
    """Prints no control character but those of its own styles."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, less the control characters that a terminal would obey."""
        for segment in super().render(renderable, options):
            if segment.control or not _ORDERS.search(segment.text):
                yield segment
            else:
                yield Segment(_ORDERS.sub("", segment.text), segment.style)

"""Voice prompts: who speaks where, so that a clip's prompt can come from another clip of the same person.

Shapes: ``P`` patches, ``D`` latent size.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from vibesweep.models.family import EncodedClip

if TYPE_CHECKING:
    from vibesweep.corpus.shards.schema import ClipTurn

SHORTEST_PROMPT_PATCHES = 4
"""Half a second: less says nothing about a voice."""


def stretches(
    turns: Sequence[ClipTurn], people: Sequence[str], rate_hz: float, patches: int
) -> tuple[tuple[int, int, int], ...]:
    """(slot, first patch, one past the last patch) of each turn.

    Where a corpus does not tell the times, those of a dialogue were shared out by the texts' lengths, and the turn before or after
    reaches into them. Of such a turn the middle half is taken, which is that person's far more often.

    Args:
        turns: of a clip.
        people: who speak in it, by slot.
        rate_hz: patches a second.
        patches: of the whole clip.
    """
    found = []
    for turn in turns:
        start, end = (
            min(round(time_s * rate_hz), patches)
            for time_s in _certain(turn, alone=len(people) == 1)
        )
        found.append((people.index(turn.speaker), start, end))
    return tuple(found)


def _certain(turn: ClipTurn, alone: bool) -> tuple[float, float]:
    """Start and end in seconds of what is likely to be that person's."""
    margin_s = 0.0 if turn.timed or alone else (turn.end_s - turn.start_s) / 4
    return turn.start_s + margin_s, turn.end_s - margin_s


class PromptBank:
    """Who speaks where, so that a clip's voice prompt can come from another clip of the same person, never from the clip itself."""

    def __init__(self, examples: Sequence[EncodedClip], longest_patches: int) -> None:
        """Collect the stretches of every person that are long enough to show a voice."""
        self._longest_patches = longest_patches
        self._stretches: dict[str, list[tuple[str, Tensor]]] = {}
        for example in examples:
            for slot, start, end in example.stretches:
                if end - start >= SHORTEST_PROMPT_PATCHES:
                    self._stretches.setdefault(example.people[slot], []).append(
                        (example.id, example.latents[start:end])
                    )

    def draw(self, example: EncodedClip, slot: int, rng: np.random.Generator) -> Tensor | None:
        """Draw a prompt [<= prompt_patches, D] of a clip's speaker: of the recording that the corpus names, or from another clip.

        None where there is neither.
        """
        stretch = (
            example.prompts[slot]
            if slot in example.prompts
            else self._elsewhere(example.people[slot], example.id, rng)
        )
        if stretch is None:
            return None
        start = int(rng.integers(max(len(stretch) - self._longest_patches, 0) + 1))
        return stretch[start : start + self._longest_patches]

    def _elsewhere(self, person: str, clip: str, rng: np.random.Generator) -> Tensor | None:
        """A stretch of that person in another clip; None where there is no other."""
        others = self._stretches.get(person, [])
        if all(owner == clip for owner, _ in others):
            return None
        owner, stretch = others[rng.integers(len(others))]
        while owner == clip:
            owner, stretch = others[rng.integers(len(others))]
        return stretch

    def longest(self) -> dict[str, Tensor]:
        """Each person's longest stretch, cut to a prompt; people in order of how much they speak."""
        spoken = {
            person: sum(len(part) for _, part in parts) for person, parts in self._stretches.items()
        }
        ranked = sorted(spoken, key=lambda person: (-spoken[person], person))
        return {
            person: max((part for _, part in self._stretches[person]), key=len)[
                : self._longest_patches
            ]
            for person in ranked
        }

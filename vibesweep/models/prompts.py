"""Voice prompts: who speaks where, so that a prompt can come from another clip of the same person.

Shapes: ``P`` patches, ``D`` latent size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from vibesweep.models.clips import EncodedClip

if TYPE_CHECKING:
    from vibesweep.corpus.shards.schema import ClipTurn

Loudness = Callable[[Tensor], Tensor]
"""Gives the level of each latent, of [P, D]: [P]."""
SHORTEST_PROMPT_PATCHES = 4
"""Half a second; a shorter stretch says nothing about a voice."""


def stretches(
    turns: Sequence[ClipTurn], people: Sequence[str], rate_hz: float, patches: int
) -> tuple[tuple[int, int, int], ...]:
    """Return (slot, first patch, one past the last patch) of each turn.

    Where a corpus gives no times, a dialogue's turns got theirs from the lengths of their texts,
    and the neighbouring speaker may reach into them. Of such a turn only the middle half is taken.

    Args:
        turns: the clip's turns.
        people: its speakers, by slot.
        rate_hz: patches a second.
        patches: patches of the whole clip.
    """
    single_speaker = len(people) == 1
    found = []
    for turn in turns:
        start_s, end_s = _reliable_span_s(turn, single_speaker)
        start = min(round(start_s * rate_hz), patches)
        end = min(round(end_s * rate_hz), patches)
        found.append((people.index(turn.speaker), start, end))
    return tuple(found)


def _reliable_span_s(turn: ClipTurn, single_speaker: bool) -> tuple[float, float]:
    """Return start and end, in seconds, of the part of a turn that is most likely its speaker's."""
    if turn.timed or single_speaker:
        return turn.start_s, turn.end_s
    margin_s = (turn.end_s - turn.start_s) / 4
    return turn.start_s + margin_s, turn.end_s - margin_s


@dataclass(frozen=True)
class _Stretch:
    """A person's latents [P, D] in one turn of a clip."""

    clip: EncodedClip
    latents: Tensor


@dataclass(frozen=True)
class _Window:
    """Latents [P, D] of a prompt's length, and their mean level."""

    latents: Tensor
    level: float


def _loudest_window(latents: Tensor, length: int, loudness: Loudness) -> _Window:
    """Choose the loudest window of a stretch [P, D], of so many patches."""
    by_patch = loudness(latents)
    windows = by_patch.unfold(0, length, 1)
    by_window = windows.mean(1)
    level, start = by_window.max(0)
    first = int(start)
    past = first + length
    return _Window(latents[first:past], float(level))


class PromptBank:
    """The stretches of each person, from which voice prompts are drawn.

    A clip's prompt comes from another clip of the same person, never from the clip itself nor from
    one of the same samples under another id.
    """

    def __init__(self, clips: Sequence[EncodedClip], longest_patches: int) -> None:
        """Collect each person's stretches that are long enough to show a voice.

        Args:
            clips: the clips that prompts may come from.
            longest_patches: largest length of a prompt.
        """
        self._longest_patches = longest_patches
        self._stretches: dict[str, list[_Stretch]] = {}
        for clip in clips:
            for slot, start, end in clip.stretches:
                if end - start < SHORTEST_PROMPT_PATCHES:
                    continue
                person = clip.people[slot]
                stretch = _Stretch(clip, clip.latents[start:end])
                self._stretches.setdefault(person, []).append(stretch)

    def draw(self, clip: EncodedClip, slot: int, rng: np.random.Generator) -> Tensor | None:
        """Draw a prompt [P, D] for one of a clip's speakers.

        It is cut at random from the recording that the corpus names as that speaker's prompt, or
        else from a stretch of another clip.

        Returns:
            At most ``longest_patches`` latents, or ``None`` where the speaker has neither.
        """
        latents = clip.prompts.get(slot)
        if latents is None:
            person = clip.people[slot]
            latents = self._from_another_clip(person, clip, rng)
        if latents is None:
            return None
        spare = max(len(latents) - self._longest_patches, 0)
        start = int(rng.integers(spare + 1))
        end = start + self._longest_patches
        return latents[start:end]

    def _from_another_clip(
        self, person: str, clip: EncodedClip, rng: np.random.Generator
    ) -> Tensor | None:
        """Draw a stretch [P, D] of this person in another clip; ``None`` where there is none."""
        candidates = self._stretches.get(person, [])
        if all(clip.same_sound(stretch.clip) for stretch in candidates):
            return None
        while True:
            index = rng.integers(len(candidates))
            stretch = candidates[index]
            if not clip.same_sound(stretch.clip):
                return stretch.latents

    def loudest(self, loudness: Loudness) -> dict[str, Tensor]:
        """Choose each person's prompt [P, D]; who speaks most comes first.

        It is the loudest stretch of a prompt's length, which has the fewest pauses: those say
        nothing about a voice. Who never speaks for so long has the longest stretch.

        Args:
            loudness: gives the level of each of the latents [P, D].
        """
        prompts = {}
        for person in self._by_spoken_patches():
            latents = [stretch.latents for stretch in self._stretches[person]]
            longest = max(map(len, latents))
            length = min(longest, self._longest_patches)
            windows = []
            for each in latents:
                if len(each) >= length:
                    window = _loudest_window(each, length, loudness)
                    windows.append(window)
            loudest = max(windows, key=attrgetter("level"))
            prompts[person] = loudest.latents
        return prompts

    def _by_spoken_patches(self) -> list[str]:
        """Return the people, those with the most patches first, equals by name."""
        spoken = {}
        for person, stretches_of_person in self._stretches.items():
            spoken[person] = sum(len(stretch.latents) for stretch in stretches_of_person)
        by_name = sorted(spoken)
        return sorted(by_name, key=lambda person: spoken[person], reverse=True)

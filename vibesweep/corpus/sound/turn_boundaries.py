"""Find the silences in which a turn certainly ends, when only the text of the turns is known.

The boundaries between turns are the hidden states of a Markov model: a turn's speech takes about as
long as its phonemes do at the rate of the recording, and silences between turns have other lengths
than pauses inside them. How long both are is learnt from the recording by expectation maximisation.

Shapes: ``K`` turns, ``J`` silences, ``C`` candidates: places where a boundary may lie. Places are
counted in hops of speech. Silences have no length there, so that a pause costs a turn nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from vibesweep.corpus.sound.arrays import Floats, Ints
from vibesweep.corpus.sound.log_normal import LogNormal
from vibesweep.corpus.sound.silences import Spans
from vibesweep.corpus.sound.turn_lengths import TurnLengths

CERTAIN = 0.95  # a boundary is used only if its place has at least this probability

# What is believed before a recording has shown its own values; worth so many silences of it
GAP_LENGTHS_S = LogNormal(math.log(0.5), 0.5)  # silences between turns
PAUSE_LENGTHS_S = LogNormal(math.log(0.3), 0.5)  # silences inside turns
PRIOR_SILENCES = 10.0
UNPAUSED_SHARE = 0.05  # turns that begin without a silence before them

UNPAUSED_S = 1.0  # how far apart the places of boundaries without a silence are
MOST_UNPAUSED = 0.3  # if turns hardly ever end in a silence, pauses are mistaken for their ends
MOST_LOG_ODDS = 8  # the length of one silence counts for no more than this
ROUNDS = 3


class TurnEnd(NamedTuple):
    """A silence that ends a turn.

    Attributes:
        turns_before: how many turns lie before the silence.
        first_hop: where the silence begins, in hops of the recording.
        past_hop: where it ends.
    """

    turns_before: int
    first_hop: int
    past_hop: int


class _Posterior(NamedTuple):
    """Where one boundary lies: the first candidate of its window, and the probability of each."""

    first: int
    probabilities: Floats

    @property
    def likeliest(self) -> int:
        """The most probable candidate."""
        offset = int(self.probabilities.argmax())
        return self.first + offset


@dataclass(frozen=True)
class _Candidates:
    """The candidates [C] in order: their places, and the silence of each, or -1 for none."""

    places: Ints
    silences: Ints


@dataclass(frozen=True)
class _Beliefs:
    """What is believed of a recording's silences.

    Attributes:
        gaps: lengths of silences between turns.
        pauses: lengths of silences inside turns.
        ends_turn: the probability of each silence [J] to end a turn.
        unpaused: the share of turns that begin without a silence before them.
    """

    gaps: LogNormal
    pauses: LogNormal
    ends_turn: Floats
    unpaused: float


def certain_turn_ends(
    phonemes: Sequence[int], quiet: Spans, first: int, last: int, hop_s: float
) -> list[TurnEnd]:
    """Find the silences that certainly end a turn.

    Args:
        phonemes: phonemes of each turn [K].
        quiet: the silences between the first and the last word [J].
        first: the hop in which speech begins.
        last: the hop in which speech ends.
        hop_s: seconds of a hop.
    """
    if len(phonemes) < 2 or not len(quiet):
        return []
    silent_hops = int(quiet.hops.sum())
    speech_hops = last - first - silent_hops
    candidates = _candidates(quiet, first, speech_hops, hop_s)
    turns = TurnLengths.of(phonemes, speech_hops)
    log_lengths = np.log(quiet.hops * hop_s)
    beliefs = _first_beliefs(len(phonemes), len(quiet))
    for _ in range(ROUNDS):
        weights = _candidate_weights(beliefs, log_lengths, candidates, speech_hops, hop_s)
        lattice = _Lattice(turns, candidates, weights, speech_hops, hop_s)
        posteriors = lattice.posteriors()
        beliefs = _learn(posteriors, candidates, log_lengths, len(phonemes))
    if beliefs.unpaused > MOST_UNPAUSED:
        return []
    return _certain(posteriors, candidates, quiet)


def _certain(
    posteriors: Sequence[_Posterior], candidates: _Candidates, quiet: Spans
) -> list[TurnEnd]:
    """Pick the boundaries that lie in a silence with enough probability."""
    found = []
    for turns_before, posterior in enumerate(posteriors, 1):
        silence = candidates.silences[posterior.likeliest]
        probability = posterior.probabilities.max()
        if silence < 0 or probability < CERTAIN:
            continue
        end = TurnEnd(
            turns_before=turns_before,
            first_hop=int(quiet.first[silence]),
            past_hop=int(quiet.past[silence]),
        )
        found.append(end)
    return found


def _candidates(quiet: Spans, first: int, speech_hops: int, hop_s: float) -> _Candidates:
    """List the silences, and places at even distances for boundaries without one."""
    silent_before = np.cumsum(quiet.hops) - quiet.hops
    in_silences = quiet.first - first - silent_before
    apart = round(UNPAUSED_S / hop_s)
    without = np.arange(apart // 2, speech_hops, apart)
    places = np.concatenate([in_silences, without])
    numbers = np.arange(len(quiet))
    no_silence = np.full(len(without), -1)
    silences = np.concatenate([numbers, no_silence])
    order = np.argsort(places, kind="stable")
    return _Candidates(places[order], silences[order])


def _first_beliefs(turns: int, silences: int) -> _Beliefs:
    share = min(1.0, turns / silences)
    return _Beliefs(
        gaps=GAP_LENGTHS_S,
        pauses=PAUSE_LENGTHS_S,
        ends_turn=np.full(silences, share),
        unpaused=UNPAUSED_SHARE,
    )


def _candidate_weights(
    beliefs: _Beliefs,
    log_lengths: Floats,
    candidates: _Candidates,
    speech_hops: int,
    hop_s: float,
) -> Floats:
    """Compute how much more likely each candidate [C] is with a boundary in it than without."""
    is_pause = 1 - beliefs.ends_turn
    pauses = max(float(is_pause.sum()), 1.0)
    pauses_per_hop = pauses / speech_hops
    as_gap = beliefs.gaps.log_density(log_lengths)
    as_pause = beliefs.pauses.log_density(log_lengths)
    log_odds = np.clip(as_gap - as_pause, -MOST_LOG_ODDS, MOST_LOG_ODDS)
    odds = np.exp(log_odds) / pauses_per_hop
    odds_at = odds[candidates.silences]
    paused = 1 - beliefs.unpaused
    without_silence = beliefs.unpaused * UNPAUSED_S / hop_s
    return np.where(candidates.silences >= 0, paused * odds_at, without_silence)


def _learn(
    posteriors: Sequence[_Posterior], candidates: _Candidates, log_lengths: Floats, turns: int
) -> _Beliefs:
    """Estimate a recording's silences from where its boundaries lie."""
    ends_turn = _turn_end_probabilities(posteriors, candidates, len(log_lengths))
    is_pause = 1 - ends_turn
    boundaries = turns - 1
    in_silences = float(ends_turn.sum())
    without_silence = max(boundaries - in_silences, 0.0)
    prior = PRIOR_SILENCES * UNPAUSED_SHARE
    return _Beliefs(
        gaps=GAP_LENGTHS_S.updated(log_lengths, ends_turn, PRIOR_SILENCES),
        pauses=PAUSE_LENGTHS_S.updated(log_lengths, is_pause, PRIOR_SILENCES),
        ends_turn=ends_turn,
        unpaused=(prior + without_silence) / (PRIOR_SILENCES + boundaries),
    )


def _turn_end_probabilities(
    posteriors: Sequence[_Posterior], candidates: _Candidates, silences: int
) -> Floats:
    """Compute the probability of each silence to end a turn [J]."""
    of_candidates = np.zeros(len(candidates.places))
    for first, probabilities in posteriors:
        window = slice(first, first + len(probabilities))
        of_candidates[window] += probabilities
    in_silence = candidates.silences >= 0
    numbers = candidates.silences[in_silence]
    of_silences = np.zeros(silences)
    of_silences[numbers] = of_candidates[in_silence]
    return np.clip(of_silences, 0.0, 1.0)


class _Stage(NamedTuple):
    """Where one boundary or an end of the speech may lie.

    Attributes:
        places: of its candidates.
        weights: of its candidates.
        first: index of its first candidate.
    """

    places: Ints
    weights: Floats
    first: int


class _Lattice:
    """The forward-backward algorithm over the boundaries between turns."""

    def __init__(
        self,
        turns: TurnLengths,
        candidates: _Candidates,
        weights: Floats,
        speech_hops: int,
        hop_s: float,
    ) -> None:
        """Give each boundary the candidates of its window; both ends of the speech are certain."""
        self._likelihoods = turns.likelihoods
        self._stages = [_certain_stage(0)]
        for window in turns.windows(hop_s):
            first, past = np.searchsorted(candidates.places, window).tolist()
            inside = slice(first, past)
            stage = _Stage(candidates.places[inside], weights[inside], first)
            self._stages.append(stage)
        end = _certain_stage(speech_hops)
        self._stages.append(end)

    def posteriors(self) -> list[_Posterior]:
        """Compute where each boundary lies; nothing if the text is not that of the recording."""
        forward = self._forward()
        backward = np.ones(1)
        found = []
        for turn in reversed(range(1, len(forward))):
            following = self._stages[turn + 1]
            arrivals = following.weights * backward
            backward = arrivals @ self._transitions(turn)
            backward /= backward.sum()
            joint = forward[turn] * backward
            probabilities = joint / joint.sum()
            posterior = _Posterior(self._stages[turn].first, probabilities)
            found.append(posterior)
        found.reverse()
        return found

    def _forward(self) -> list[Floats]:
        """Run the forward pass up to the last boundary; empty if the end cannot be reached."""
        reached: Floats = np.ones(1)
        forward: list[Floats] = []
        for turn, following in enumerate(self._stages[1:]):
            forward.append(reached)
            departures = self._transitions(turn) @ reached
            reached = following.weights * departures
            total = reached.sum()
            if not total > 0:
                return []
            reached = reached / total
        return forward

    def _transitions(self, turn: int) -> Floats:
        """Look up the likelihood of a turn's length for each end and each start of it."""
        starts = self._stages[turn].places
        ends = self._stages[turn + 1].places
        hops = ends[:, None] - starts[None, :]
        likelihoods = self._likelihoods[turn]
        values: Floats = np.take(likelihoods, hops, mode="clip")
        return values


def _certain_stage(place: int) -> _Stage:
    """Make the stage of an end of the speech."""
    return _Stage(np.array([place]), np.ones(1), -1)

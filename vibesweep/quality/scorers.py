"""Which scorers there are: those whose packages are installed, and those that the user names.

Packages of others declare theirs by an entry point (:mod:`vibesweep.quality.measures`).
A scorer that the user names is ``package.module:Class=path of its model``: the class is called with
the path, and what it makes is a :class:`~vibesweep.quality.scorer.Scorer`.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from typing import NamedTuple, cast

from vibesweep.errors import ModelError
from vibesweep.quality.measures import MEASURES, Measure, declared_names, scorer_class
from vibesweep.quality.naturalness import NaturalnessScorer
from vibesweep.quality.pitch import PitchScorer
from vibesweep.quality.recognition import RecognitionScorer
from vibesweep.quality.scorer import Scorer
from vibesweep.quality.speaker import SpeakerScorer
from vibesweep.quality.spectrum import SpectrumScorer


class _PackagedScorer(NamedTuple):
    """A scorer whose weights come with a package.

    Attributes:
        measures: what it measures.
        modules: that must be there.
        brought_by: what pip installs them by.
        judges: what it is for, as a clause.
        make: called with the English texts.
    """

    measures: tuple[Measure, ...]
    modules: tuple[str, ...]
    brought_by: str
    judges: str
    make: Callable[[Sequence[str]], Scorer]

    @property
    def is_installed(self) -> bool:
        """Whether the modules are there; none is imported."""
        return all(map(importlib.util.find_spec, self.modules))


EXTRA = '"vibesweep[quality]"'
OF_PACKAGES = (
    _PackagedScorer(
        RecognitionScorer.measures,
        ("pocketsphinx",),
        EXTRA,
        "what is understood",
        RecognitionScorer,
    ),
    _PackagedScorer(PitchScorer.measures, ("swift_f0",), EXTRA, "melody", lambda _: PitchScorer()),
    _PackagedScorer(
        NaturalnessScorer.measures,
        ("speechmos", "onnxruntime"),
        EXTRA,
        "naturalness",
        lambda _: NaturalnessScorer(),
    ),
    _PackagedScorer(
        SpeakerScorer.measures,
        ("resemblyzer",),
        "Resemblyzer",
        "likeness of voices",
        lambda _: SpeakerScorer(),
    ),
)


class Scorers(NamedTuple):
    """What listens.

    Attributes:
        scorers: all that can.
        missing: what is not judged and what to install, in one line; empty if all is.
    """

    scorers: tuple[Scorer, ...]
    missing: str

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All that they measure."""
        measures: list[Measure] = []
        for scorer in self.scorers:
            measures.extend(scorer.measures)
        return tuple(measures)


def make_scorers(texts: Sequence[str], named: Sequence[str] = ()) -> Scorers:
    """Make the scorers that the machine has packages for.

    Args:
        texts: English texts that are not to be taken for each other.
        named: scorers of the user's.

    Raises:
        ModelError: one of these cannot be made.
    """
    scorers: list[Scorer] = [SpectrumScorer()]
    missing: dict[str, str] = {}
    for known in OF_PACKAGES:
        if known.is_installed:
            scorer = known.make(texts)
            scorers.append(scorer)
        else:
            missing[known.judges] = known.brought_by
    scorers += _declared_scorers(declared_names())
    for address in named:
        scorer = _named_scorer(address)
        scorers.append(scorer)
    return Scorers(tuple(scorers), _missing_line(missing))


def make_needed(texts: Sequence[str], needed: Collection[str]) -> tuple[Scorer, ...]:
    """Make the scorers that some measures take, and the one that takes nothing.

    Args:
        texts: English texts that are not to be taken for each other.
        needed: names of the measures.

    Raises:
        ModelError: a package is not installed.
    """
    scorers: list[Scorer] = [SpectrumScorer()]
    for known in _packages_for(needed):
        scorer = known.make(texts)
        scorers.append(scorer)
    scorers += _declared_scorers(needed)
    return tuple(scorers)


def check_installed(needed: Collection[str]) -> None:
    """Refuse measures whose packages are not installed.

    Raises:
        ModelError: one is not.
    """
    _packages_for(needed)


def _declared_scorers(names: Collection[str]) -> list[Scorer]:
    """Make the scorers of other packages that some measures take, each once."""
    classes = [scorer_class(name) for name in names if name not in MEASURES]
    return [make("") for make in dict.fromkeys(classes)]


def _packages_for(needed: Collection[str]) -> list[_PackagedScorer]:
    found = []
    for known in OF_PACKAGES:
        wanted = [measure.name for measure in known.measures if measure.name in needed]
        if wanted and not known.is_installed:
            names = ", ".join(wanted)
            missing = " or ".join(known.modules)
            fix = f"`pip install {known.brought_by}` brings it"
            raise ModelError(f"there is no {missing} to measure it by", where=names, fix=fix)
        if wanted:
            found.append(known)
    return found


def _missing_line(missing: dict[str, str]) -> str:
    if not missing:
        return ""
    judged = ", ".join(missing)
    packages = dict.fromkeys(missing.values())
    brought_by = " ".join(packages)
    return f"not judged: {judged}; pip install {brought_by} brings what it takes"


def _named_scorer(named: str) -> Scorer:
    address, _, model = named.partition("=")
    module_name, _, class_name = address.partition(":")
    try:
        make = getattr(import_module(module_name), class_name)
        return cast(Scorer, make(model))
    except (ImportError, AttributeError, ValueError, TypeError, OSError) as error:
        found = f"the scorer cannot be made: {error}"
        fix = "name it as package.module:Class=MODEL, with the path of its model"
        raise ModelError(found, where=f"--scorer {named}", fix=fix) from error

"""Whether what a sweep looks for can be measured: its objective and its limits."""

from __future__ import annotations

from vibesweep.config import Sweep
from vibesweep.config.costs import COSTS
from vibesweep.errors import CorpusError, SpaceError
from vibesweep.models.registry import ModelRef
from vibesweep.quality.aim import HEARD_TEXTS, LOSS, Aim
from vibesweep.quality.listening import scores_of
from vibesweep.quality.measures import MEASURES, declared_names
from vibesweep.quality.passages import choose_passages
from vibesweep.quality.scorers import check_installed, make_needed


def check_aim(sweep: Sweep) -> None:
    """Refuse measures that there are not, or that nothing here measures.

    Raises:
        SpaceError: the objective or a limit has no such name.
        ModelError: a package that measures is not installed.
    """
    aim = Aim.of(sweep)
    measures = (*MEASURES, *declared_names())
    for name in aim.measures:
        if name in measures:
            continue
        is_limit = name in sweep.limits
        known = ", ".join(measures if is_limit else (LOSS, *COSTS, *measures))
        where = "Sweep.limits" if is_limit else "Sweep.objective"
        fix = f"choose among {known}"
        raise SpaceError(f"there is no measure {name!r}", where=where, fix=fix)
    check_installed(aim.measures)


def check_heard(sweep: Sweep, model: ModelRef, shards: str) -> None:
    """Look whether trials can be heard on shards, where the sweep ranks them so.

    Raises:
        CorpusError: no held-out recording can be compared with, or its text has no such measure.
    """
    aim = Aim.of(sweep)
    if not aim.measures:
        return
    language = model.family.language(model.address)
    chosen = choose_passages(shards, language, HEARD_TEXTS)
    scorers = make_needed(chosen.english, aim.measures)
    found: set[str] = set()
    for passage in chosen.passages:
        found.update(scores_of(passage.recording, passage, scorers))
    missing = [name for name in aim.measures if name not in found]
    if missing:
        names = ", ".join(missing)
        fix = "choose another measure; what is understood is measured in English alone"
        raise CorpusError(f"its texts have no {names}", where=shards, fix=fix)

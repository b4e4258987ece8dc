"""What can be said of a sweep before Ray starts and its name is taken.

Nothing here imports Ray, and torch only where the space sets something that a model may refuse: a
mistake costs the user a second.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from vibesweep.config import Sweep, TrialSettings
from vibesweep.config.costs import COSTS
from vibesweep.corpus.ingest.metadata import read_metadata
from vibesweep.corpus.shards.manifest import MANIFEST_FILE, Manifest, read_manifest
from vibesweep.corpus.shards.remarks import HOLD_OUT_MORE, remarks
from vibesweep.errors import CorpusError, ShardsError, SpaceError, VibesweepError
from vibesweep.models.asked import TAKEN_BY_ALL, asked_of_model
from vibesweep.models.registry import ModelRef
from vibesweep.quality.aim import HEARD_TEXTS, LOSS, Aim
from vibesweep.quality.listening import scores_of
from vibesweep.quality.measures import MEASURES, declared_names
from vibesweep.quality.passages import choose_passages
from vibesweep.quality.scorers import check_installed, make_needed
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.sweep.record.claim import refuse_taken
from vibesweep.sweep.record.folder import SWEEPS, SweepFolder
from vibesweep.sweep.record.plan import SECONDS_AN_HOUR
from vibesweep.sweep.resume import check_resumable
from vibesweep.sweep.search.space import Drawn, Rehearsal, check_space
from vibesweep.sweep.search.survey import Refusal

DEMO = "demo"
NEEDS_CUDA = "adamw_8bit"
"""The optimizer that runs on CUDA devices alone."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class CheckedSweep:
    """What the checks have found out.

    Attributes:
        model: the base, by an address that other processes understand.
        rehearsal: what the space suggests.
        manifest: of the shards, where the corpus is a folder of shards.
    """

    model: ModelRef
    rehearsal: Rehearsal
    manifest: Manifest | None


def check_sweep(
    sweep: Sweep,
    name: str,
    work: StorageAddress,
    say: Say,
    *,
    resume: bool = False,
    space_file: Path | None = None,
) -> CheckedSweep:
    """Check all of a sweep that needs neither Ray nor weights.

    Args:
        sweep: what is to be run.
        name: the name that it is to have.
        work: the folder that it works in.
        say: told in a line what is odd, but no error.
        resume: whether the sweep of that name is to go on.
        space_file: where the sweep's space is from.

    Raises:
        SweepError: the name is taken, or the sweep of that name cannot go on.
        VibesweepError: the corpus, the base or the space is not what the sweep needs.
    """
    folder = SweepFolder(StoragePath.of(work) / SWEEPS / name)
    if resume:
        check_resumable(sweep, folder, space_file)
    else:
        refuse_taken(folder)
    check_aim(sweep)
    model = ModelRef.parse(sweep.model).located()
    rehearsal = check_space(sweep)
    manifest = check_corpus(sweep.corpus)
    if manifest is not None:
        check_fit(model, sweep.corpus, say)
        check_clips(sweep, rehearsal, sweep.corpus, say)
        check_heard(sweep, model, sweep.corpus)
    refuse_unusable(rehearsal, refusal_by_resources(sweep), say)
    refuse_unusable(rehearsal, _by_model(model, rehearsal), say)
    _say_how_many_are_drawn_again(rehearsal, say)
    _say_what_is_left_out(sweep, rehearsal, say)
    untried = len(rehearsal.first) - sweep.trials
    if untried > 0:
        say(f"trials is {sweep.trials}: the last {untried} of try_first are not tried")
    return CheckedSweep(model, rehearsal, manifest)


def check_this_machine(checked: CheckedSweep, say: Say) -> None:
    """Refuse, where this machine alone is to train, what it has not installed.

    Raises:
        VibesweepError: no trial could be trained here.
    """

    def refusal(settings: TrialSettings) -> VibesweepError | None:
        if settings.optimizer != NEEDS_CUDA or find_spec("bitsandbytes") is not None:
            return None
        found = f"{NEEDS_CUDA} finds no bitsandbytes"
        fix = "choose 'adamw', or install bitsandbytes"
        return SpaceError(found, where="optimizer", fix=fix)

    refuse_unusable(checked.rehearsal, refusal, say)


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


def check_corpus(corpus: str) -> Manifest | None:
    """Refuse at once what is neither shards nor a corpus of which some can be held out.

    Returns:
        The manifest, of shards.

    Raises:
        CorpusError: there is no metadata, it cannot be read, or it has a single recording.
        ShardsError: the manifest cannot be read.
    """
    if is_demo(corpus):
        return None
    if (StoragePath.of(corpus) / MANIFEST_FILE).is_file():
        return read_manifest(corpus)
    metadata = read_metadata(corpus)
    if len(metadata.recordings) == 1:
        found = "it has one recording, so that none can be held out for validation"
        raise CorpusError(found, where=corpus, fix="add recordings, or cut it in two")
    return None


def check_fit(model: ModelRef, shards: str, say: Say) -> None:
    """Look whether a model can be tuned on shards, before any lane comes up.

    Raises:
        ModelError: the model cannot be read.
        ShardsError: the shards do not fit it.
    """
    remark = model.family.check_shards(model.address, read_manifest(shards), shards)
    if remark is not None:
        say(remark)


def check_clips(sweep: Sweep, rehearsal: Rehearsal, shards: str, say: Say) -> None:
    """Look whether there are clips enough to train and to rank trials.

    Raises:
        ShardsError: a split is empty, or there are fewer training clips than workers.
    """
    manifest = read_manifest(shards)
    if not manifest.clips["val"]:
        found = "the val split is empty, so that trials cannot be ranked"
        raise ShardsError(found, where=shards, fix=HOLD_OUT_MORE)
    clips, workers = manifest.clips["train"], sweep.resources.workers
    if clips < workers:
        found = f"{clips} training clips cannot feed {workers} workers"
        raise ShardsError(found, where=shards, fix="add recordings or take fewer workers")
    for remark in [*remarks(shards), *_batch_remarks(rehearsal, manifest, workers)]:
        say(f"{shards}: {remark}")


def is_demo(corpus: str) -> bool:
    """Tell whether the demo corpus is meant, and not a folder of that name."""
    return corpus == DEMO and not Path(corpus).exists()


def refuse_unusable(rehearsal: Rehearsal, refusal: Refusal, say: Say) -> None:
    """Refuse a space that nothing can be trained with, and tell how much of it cannot.

    Args:
        rehearsal: what the space suggests.
        refusal: says why settings cannot be trained with, or None.
        say: told of a space of which some can be.

    Raises:
        VibesweepError: why all of it is refused, or a point of ``try_first``.
    """
    for number, settings in enumerate(rehearsal.first):
        error = refusal(settings)
        if error is not None:
            where = f"try_first[{number}].{error.where}"
            raise type(error)(error.found, where=where, fix=error.fix)
    refusals = [refusal(settings) for settings in rehearsal.settings]
    reasons = [error for error in refusals if error is not None]
    if not reasons:
        return
    if len(reasons) == len(refusals):
        raise reasons[0]
    at_random = [
        isinstance(found, TrialSettings) and refusal(found) is not None
        for found in rehearsal.at_random
    ]
    share = _share(sum(at_random), len(at_random))
    say(f"{share} of what the space suggests is refused, and such trials fail: {reasons[0]}")


def _say_what_is_left_out(sweep: Sweep, rehearsal: Rehearsal, say: Say) -> None:
    points = len(sweep.try_first)
    left_out = points - len(rehearsal.first)
    if left_out:
        found = f"{left_out} of the {points} points of try_first"
        say(f"{found} are left out: with what is fixed they are no points of the space, or repeats")


def _say_how_many_are_drawn_again(rehearsal: Rehearsal, say: Say) -> None:
    refusals = rehearsal.refusals
    if not refusals:
        return
    refused = sum(not _is_sound(found) for found in rehearsal.at_random)
    share = _share(refused, len(rehearsal.at_random))
    found = "of what the space suggests does not go together and is drawn again"
    say(f"{share} {found}: {refusals[0]}")


def _is_sound(found: Drawn) -> bool:
    return isinstance(found, TrialSettings)


def _share(count: int, total: int) -> str:
    percent = round(100 * count / total)
    return f"{percent} %" if percent else "under 1 %"


def refusal_by_resources(sweep: Sweep) -> Refusal:
    """Return what says why a sweep's resources can do nothing with settings, or None."""

    def refusal(settings: TrialSettings) -> VibesweepError | None:
        if settings.optimizer != NEEDS_CUDA or sweep.resources.gpus_per_worker:
            return None
        found = f"{NEEDS_CUDA} is trained on no CUDA device: gpus_per_worker is 0"
        fix = "choose 'adamw', or resources=TrialResources(gpus_per_worker=1)"
        return SpaceError(found, where="optimizer", fix=fix)

    return refusal


def _by_model(model: ModelRef, rehearsal: Rehearsal) -> Refusal:
    asked = {asked_of_model(settings) for settings in rehearsal.settings}
    if asked <= TAKEN_BY_ALL:
        return lambda settings: None
    from vibesweep.training.fit import ModelFit  # imports torch

    return ModelFit(model).refusal


def _batch_remarks(rehearsal: Rehearsal, manifest: Manifest, workers: int) -> list[str]:
    """Say which steps would hold less than they are meant to."""
    clips = manifest.clips["train"]
    seconds = manifest.hours["train"] * SECONDS_AN_HOUR
    by_clips = [s.batch_clips for s in rehearsal.settings if s.batch_seconds is None]
    by_seconds = [s.batch_seconds for s in rehearsal.settings if s.batch_seconds is not None]
    found = []
    if by_clips and max(by_clips) > clips:
        found.append(
            f"batch_clips is {max(by_clips)}, and there are {clips} training clips:"
            " each step takes all of them"
        )
    if by_seconds and max(by_seconds) > seconds:
        found.append(
            f"batch_seconds is {max(by_seconds):g}, and there are {seconds:.0f} s of training"
            " clips: each step takes all of them"
        )
    if by_clips and min(by_clips) < workers:
        found.append(
            f"batch_clips is {min(by_clips)}, for {workers} workers:"
            f" {workers - min(by_clips)} of them wait in each step"
        )
    return found

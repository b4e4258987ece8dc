"""What a sweep will take, before anything of it is trained."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from operator import attrgetter

from vibesweep.cluster.lane_capacity import Cluster, plan_lanes
from vibesweep.cluster.nodes import this_host
from vibesweep.config import Sweep, TrialResources, TrialSettings
from vibesweep.corpus.sound.rates import LATENT_RATE_HZ
from vibesweep.errors import ResourceError, VibesweepError
from vibesweep.models.registry import ModelRef
from vibesweep.models.speech_model import SpeechModel
from vibesweep.progress import Say
from vibesweep.storage import StoragePath
from vibesweep.sweep.checks.settings import refusal_by_resources
from vibesweep.sweep.plan.corpus_size import CorpusSize, corpus_size
from vibesweep.sweep.plan.disk_bound import DiskBound, disk_bound, sizes_of
from vibesweep.sweep.plan.expected import plan_of_pace
from vibesweep.sweep.plan.forecast import typical_settings
from vibesweep.sweep.prepare import limit_trials
from vibesweep.sweep.record.plan import SweepPlan
from vibesweep.sweep.search.space import check_space
from vibesweep.sweep.search.survey import Refusal, SpaceSurvey, survey_space
from vibesweep.training.estimate import estimated_pace, pace_here
from vibesweep.training.fit import ModelFit
from vibesweep.training.lanes.messages import Pace
from vibesweep.training.sizes import TrialSize, trial_size

SECONDS_MEASURED_ON = 7_200.0
"""Speech that is encoded in seconds, and so is trained on for a moment to measure a step."""
PARAMETERS_MEASURED = {"cpu": 2e8, "cuda": 4e9}
"""Models of more parameters are not loaded to measure a step."""
TOKENS_A_LATENT = 2.0
"""Tokens of a clip for each latent: the latents, and about as many of text and prompts."""


@dataclass(frozen=True)
class Needs:
    """What a sweep takes of disk and memory.

    Attributes:
        smallest: the trial that trains the fewest parameters.
        largest: the one that trains the most.
        disk: what the sweep's folder takes at most.
        trials_of_a_lane: that a lane trains at the same time, if they fit.
        memory_bytes: of a lane's weights, gradients and optimizers, where each of these trials is
            the largest.
    """

    smallest: TrialSize
    largest: TrialSize
    disk: DiskBound
    trials_of_a_lane: int
    memory_bytes: float


@dataclass(frozen=True)
class WholePlan:
    """All that is said of a sweep beforehand.

    Attributes:
        sweep: with its budget in steps.
        corpus: how much speech it trains on.
        typical: the settings that steps are counted and measured by.
        survey: what its space suggests.
        plan: trials, steps and time.
        needs: disk and memory.
        lanes_from: where the number of lanes comes from, in words.
    """

    sweep: Sweep
    corpus: CorpusSize
    typical: TrialSettings
    survey: SpaceSurvey
    plan: SweepPlan
    needs: Needs
    lanes_from: str


def plan_sweep(
    sweep: Sweep, work: StoragePath, where: str, say: Say, lanes: int | None = None
) -> WholePlan:
    """Draw from a sweep's space, hold it against the model, and work out what it will take.

    Args:
        sweep: what is to be searched.
        work: the folder that it would work in.
        where: the space file.
        say: told in a line what is odd.
        lanes: how many there will be; ``None`` for what the sweep says, or this machine holds.

    Raises:
        VibesweepError: nothing of the space can be trained, or the corpus cannot be read.
    """
    model = ModelRef.parse(sweep.model).located()
    survey = survey_space(sweep, _refusal(sweep, model), where)
    if not survey.sound:
        raise survey.problems[0].error
    corpus = corpus_size(sweep.corpus, model, work)
    if survey.ends_the_sweep:
        typical = survey.sound[0]
    else:
        sweep = limit_trials(sweep, say)
        rehearsal = check_space(sweep, where)
        typical = typical_settings(sweep, rehearsal)
    steps = sweep.budget.in_steps(corpus.clips, corpus.speech_s, typical)
    sweep = dataclasses.replace(sweep, budget=steps)
    skeleton = model.family.skeleton(model.address)
    size = trial_size(skeleton, typical)
    pace = _measured(model, corpus, typical, sweep.resources, size)
    measured = pace is not None
    if pace is None:
        pace = _reckoned(corpus, typical, sweep.resources, size)
    count, lanes_from = _lanes(sweep, lanes)
    plan = plan_of_pace(sweep, count, pace, measured=measured)
    needs = _needs(skeleton, survey, sweep, count)
    return WholePlan(sweep, corpus, typical, survey, plan, needs, lanes_from)


def _refusal(sweep: Sweep, model: ModelRef) -> Refusal:
    by_resources = refusal_by_resources(sweep)
    fit = ModelFit(model)

    def refusal(settings: TrialSettings) -> VibesweepError | None:
        return by_resources(settings) or fit.refusal(settings)

    return refusal


def _lanes(sweep: Sweep, asked: int | None) -> tuple[int, str]:
    """Say how many lanes a sweep will have, and why."""
    of_use = sweep.most_lanes
    if asked is not None:
        return min(asked, of_use), "asked for"
    if sweep.lanes is not None:
        return min(sweep.lanes, of_use), "of the space file"
    try:
        return len(plan_lanes(sweep, Cluster([this_host()]))), "on this machine"
    except ResourceError:
        return 1, "since this machine holds none; --lanes says how many a cluster has"


def _measured(
    model: ModelRef,
    corpus: CorpusSize,
    settings: TrialSettings,
    resources: TrialResources,
    size: TrialSize,
) -> Pace | None:
    """Measure a step here, where a lane would be like this process and is up in seconds."""
    device = "cuda" if resources.gpus_per_worker else "cpu"
    if corpus.shards is None or size.parameters > PARAMETERS_MEASURED[device]:
        return None
    if corpus.speech_s + corpus.held_out_s > SECONDS_MEASURED_ON:
        return None
    clips = math.ceil(settings.batch_clips / resources.workers)
    share = dataclasses.replace(settings, batch_clips=clips)
    return pace_here(model, corpus.shards, share, resources)


def _reckoned(
    corpus: CorpusSize, settings: TrialSettings, resources: TrialResources, size: TrialSize
) -> Pace:
    """Reckon a lane's pace from how much speech a step and a validation hold."""
    clip_s = corpus.speech_s / corpus.clips
    seconds = settings.batch_seconds or settings.batch_clips * clip_s
    tokens_a_second = TOKENS_A_LATENT * LATENT_RATE_HZ
    step_tokens = tokens_a_second * seconds
    validation_tokens = tokens_a_second * corpus.held_out_s
    return estimated_pace(size, step_tokens, validation_tokens, resources)


def _needs(skeleton: SpeechModel, survey: SpaceSurvey, sweep: Sweep, lanes: int) -> Needs:
    """Work out the sizes of some of the trials that the space suggests."""
    sizes = sizes_of(skeleton, survey.sound)
    parameters = sum(part.numel() for part in skeleton.parameters())
    together = sweep.most_trials_of_a_lane(lanes)
    roomiest = max(sizes, key=attrgetter("own_bytes"))
    return Needs(
        smallest=sizes[0],
        largest=sizes[-1],
        disk=disk_bound(sweep, sweep.trials_at_once(lanes), sizes, parameters),
        trials_of_a_lane=together,
        memory_bytes=roomiest.base_bytes + together * roomiest.own_bytes,
    )

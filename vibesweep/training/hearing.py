"""Trials are heard while they train: what they would be delivered as says held-out texts.

The texts, the voices and the seed are the same for all trials.
"""

from __future__ import annotations

import statistics
import tempfile
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

import torch

from vibesweep.models.family import TunedTrial
from vibesweep.models.registry import ModelRef
from vibesweep.quality.aim import HEARD_TEXTS
from vibesweep.quality.listening import Voice, say, scores_of
from vibesweep.quality.passages import choose_passages
from vibesweep.quality.scorers import make_needed
from vibesweep.training.state.checkpoint import fetched_checkpoint
from vibesweep.training.trial_run import TrialRun
from vibesweep.training.worker_context import WorkerContext


class TrialListener:
    """Hears trials of one base on one folder of shards."""

    def __init__(
        self, model: ModelRef, shards: str, signature: str, needed: Collection[str]
    ) -> None:
        """Choose what is said, and load what listens.

        Args:
            model: the base.
            shards: address of the folder of shards, whose recordings must be in place.
            signature: of the shards' manifest.
            needed: names of the measures that are wanted.

        Raises:
            CorpusError: no held-out recording can be compared with.
            ModelError: a package that measures is not installed.
        """
        language = model.family.language(model.address)
        chosen = choose_passages(shards, language, HEARD_TEXTS)
        self._model = model
        self._shards = shards
        self._signature = signature
        self._passages = chosen.passages
        self._scorers = make_needed(chosen.english, needed)

    def hear(self, run: TrialRun, context: WorkerContext) -> dict[str, float]:
        """Measure how a trial sounds as it stands, by its averaged weights.

        Returns:
            The means over the texts, by the names of the measures that have one.

        Raises:
            VibesweepError: it cannot be exported or does not fit into memory.
        """
        # Reading a model draws its first weights, and the trial's own noise must stay as it was
        with tempfile.TemporaryDirectory(prefix="vibesweep-") as scratch, torch.random.fork_rng():
            voice = self._voice(run, context, Path(scratch))
            values: dict[str, list[float]] = defaultdict(list)
            for passage in self._passages:
                sound = say(voice, passage, Path(scratch) / "said.wav")
                scores = scores_of(sound, passage, self._scorers)
                for name, value in scores.items():
                    values[name].append(value)
        return {name: statistics.fmean(found) for name, found in values.items()}

    def _voice(self, run: TrialRun, context: WorkerContext, scratch: Path) -> Voice:
        family = self._model.family
        checkpoint = scratch / "checkpoint"
        out = scratch / "voice"
        out.mkdir()
        run.save(checkpoint)
        with fetched_checkpoint(checkpoint) as (weights, settings):
            trial = TunedTrial(
                base=self._model.address,
                weights=weights,
                settings=settings,
                shards=self._shards,
                shards_signature=self._signature,
                voices=context.base.voice_prompts(context.voice_clips),
            )
            family.export(trial, out, family.layouts[0])
        return Voice("trial", ModelRef(self._model.family_name, str(out)))

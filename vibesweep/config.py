"""The whole vocabulary of a sweep, as frozen dataclasses. A unit ends the name where there is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from vibesweep.errors import CorpusError, SpaceError

if TYPE_CHECKING:
    import optuna

    DefineByRun = Callable[[optuna.Trial], Mapping[str, Any] | None]
    Space = DefineByRun | Mapping[str, optuna.distributions.BaseDistribution]

SPLIT_BY = ("recording", "speaker")
METHODS = ("lora", "full", "freeze")
OPTIMIZERS = (
    "adamw",
    "lion",
    "adafactor",
    "muon",
    "sgd",
    "schedule_free_adamw",
    "prodigy",
    "adamw_8bit",
)
SCHEDULES = ("constant", "linear", "cosine", "wsd")
PRECISIONS = ("float32", "bf16")
AVERAGED_PARTS = ("all", "heads")
LORA_PARTS = ("lora", "full", "frozen")
"""How heads and connectors are trained beside LoRA."""


@dataclass(frozen=True)
class MelSettings:
    """How recordings become log-mels. The defaults give 75 frames a second, ten for each of VibeVoice's 7.5 Hz latents."""

    sample_rate_hz: int = 24_000
    n_fft: int = 1_024
    hop_samples: int = 320
    n_mels: int = 80
    level_dbfs: float = -25.0


@dataclass(frozen=True)
class CorpusSettings:
    """How a corpus becomes shards.

    Attributes:
        mel: how recordings become log-mels.
        language: the eSpeak NG voice that reads all but Han characters, which are Mandarin.
        max_duration_s: longer recordings are cut between turns.
        split_by: ``recording`` or ``speaker``: what is never on both sides of the split.
        val_fraction: share of the recordings, or of the people, that is held out for validation.
        val_ids: the recordings, or people, that are held out instead of a share.
        seed: of the choice of a share.
        max_reject_fraction: more recordings than this that cannot be used are an error.
    """

    mel: MelSettings = field(default_factory=MelSettings)
    language: str = "en-us"
    max_duration_s: float = 300.0
    split_by: str = "recording"
    val_fraction: float = 0.1
    val_ids: tuple[str, ...] = ()
    seed: int = 0
    max_reject_fraction: float = 0.2

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if self.split_by not in SPLIT_BY:
            fix = f"choose one of {', '.join(SPLIT_BY)}"
            raise CorpusError(f"there is no split by {self.split_by!r}", where="split_by", fix=fix)
        if not self.max_duration_s > 0:
            raise CorpusError(
                f"max_duration_s is {self.max_duration_s}",
                where="max_duration_s",
                fix="choose more than 0 s",
            )
        for name in ("val_fraction", "max_reject_fraction"):
            if not 0 <= getattr(self, name) <= 1:
                raise CorpusError(
                    f"{name} is {getattr(self, name)}", where=name, fix="choose 0 to 1"
                )


@dataclass(frozen=True)
class TrialSettings:
    """What one trial is trained with. Each field may be suggested by a search space under its own name.

    Attributes:
        method: ``lora``, ``full`` or ``freeze`` (full, but for the lowest ``freeze_layers`` layers and the embeddings).
        learning_rate: the peak, after the warm-up; for ``prodigy`` a factor near 1 on the rate that it finds by itself.
        optimizer: one of :data:`OPTIMIZERS`.
        weight_decay: decoupled (``sgd`` adds it to the gradient), on matrices only.
        schedule: one of :data:`SCHEDULES`: the rate's way after the warm-up.
        warmup_fraction: share of the budget's steps in which the rate climbs from nothing.
        cooldown_fraction: share of the budget's steps in which ``wsd`` falls to nothing at the end; the others have none.
        batch_clips: clips in one optimizer step, over all workers and micro-batches.
        batch_seconds: speech in one optimizer step, in place of ``batch_clips``, which then plays no part.
        micro_batch_tokens: positions, padding included, that a worker computes at once; ``None`` takes what fits its device.
        grad_clip_norm: largest L2 norm of the whole gradient.
        ema_decay: share that the average of the trained weights keeps of itself in a step; it is what is validated and saved.
            ``None`` averages nothing.
        ema_parts: ``all`` or ``heads``: what of the trained weights is averaged.
        precision: ``float32`` or ``bf16``: autocast in training. Weights, losses and validation stay in float32.
        gradient_checkpointing: compute the backbone's layers again in the backward pass instead of keeping what is inside them.
        compile: have torch compile the layers.
        attention_dropout: share of the backbone's attention weights that is dropped in training.
        specaugment_time_share: share of a clip's own latents, in spans, that are hidden where they are fed back in training.
        specaugment_dims_share: share of the latent dimensions that are hidden there for a whole clip.
        voice_prompt_drop: how often a clip is trained without its voice prompts; ``None`` is the model family's own.
        silence_before_s: silence that is spoken before each clip in training, in steps of a latent (2/15 s); VibeVoice only.
        silence_after_s: silence that is spoken after it, so that the voice does not learn to cut its last word.
        lora_rank: rank of each LoRA pair.
        lora_alpha_ratio: alpha divided by rank, so that the rank can be swept without changing the scale.
        lora_alpha: alpha itself, in place of the ratio; ``None`` leaves it to the ratio.
        lora_dropout: dropout in front of each LoRA pair.
        lora_targets: ``attention``, ``attention+mlp`` or a regular expression of whole names of linear layers.
        lora_rslora: scale by alpha over the rank's square root instead of the rank (Kalajdzievski 2023).
        lora_dora: train each adapted weight's column norms as well (Liu et al. 2024, DoRA).
        lora_head: how the diffusion and the stop head are trained under ``lora``: ``lora`` (as far as the targets take them
            in), ``full`` or ``frozen``.
        lora_connectors: the same for the connectors, through which latents enter the backbone.
        freeze_layers: the lowest k backbone layers that ``freeze`` leaves alone.
        diffusion_weight: weight of the diffusion loss in training; validation has its own, fixed weights.
        stop_weight: weight of the go-on/stop loss in training.
        patience_reports: stop after so many reports without a better validation loss; ``None`` never stops early.
        seed: of the data order, prompts, noise and dropout; in a sweep 0 is the sweep's own.
    """

    method: str = "lora"
    learning_rate: float = 1e-4
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    schedule: str = "cosine"
    warmup_fraction: float = 0.05
    cooldown_fraction: float = 0.2
    batch_clips: int = 8
    batch_seconds: float | None = None
    micro_batch_tokens: int | None = None
    grad_clip_norm: float = 1.0
    ema_decay: float | None = None
    ema_parts: str = "all"
    precision: str = "float32"
    gradient_checkpointing: bool = False
    compile: bool = False
    attention_dropout: float = 0.0
    specaugment_time_share: float = 0.0
    specaugment_dims_share: float = 0.0
    voice_prompt_drop: float | None = None
    silence_before_s: float = 0.0
    silence_after_s: float = 0.0
    lora_rank: int = 8
    lora_alpha_ratio: float = 4.0
    lora_alpha: float | None = None
    lora_dropout: float = 0.05
    lora_targets: str = "attention+mlp"
    lora_rslora: bool = False
    lora_dora: bool = False
    lora_head: str = "lora"
    lora_connectors: str = "lora"
    freeze_layers: int = 2
    diffusion_weight: float = 1.0
    stop_weight: float = 0.2
    patience_reports: int | None = None
    seed: int = 0

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """The names a search space may suggest."""
        return tuple(f.name for f in fields(cls))


@dataclass(frozen=True)
class Budget:
    """How long a trial may train, in optimizer steps, and how ASHA's rungs lie: grace, grace x factor, ... below max."""

    max_steps: int = 90
    grace_steps: int = 10
    reduction_factor: int = 3

    def __post_init__(self) -> None:
        """Refuse budgets that have no rung."""
        if not 1 <= self.grace_steps <= self.max_steps:
            found = f"grace_steps is {self.grace_steps} and max_steps is {self.max_steps}"
            raise SpaceError(found, where="Budget", fix="choose 1 <= grace_steps <= max_steps")
        if self.reduction_factor < 2:
            raise SpaceError(
                f"reduction_factor is {self.reduction_factor}",
                where="Budget",
                fix="choose 2 or more",
            )

    @property
    def report_steps(self) -> tuple[int, ...]:
        """Steps at which a trial is validated: every grace period, each rung, and the end."""
        return tuple(
            sorted(
                {
                    *range(self.grace_steps, self.max_steps, self.grace_steps),
                    *self.rung_steps,
                    self.max_steps,
                }
            )
        )

    @property
    def rung_steps(self) -> tuple[int, ...]:
        """Steps at which ASHA decides."""
        rungs, step = [], self.grace_steps
        while step < self.max_steps:
            rungs.append(step)
            step *= self.reduction_factor
        return tuple(rungs)


@dataclass(frozen=True)
class TrialResources:
    """What one trial holds while it trains: so many DDP workers, each with its share.

    Attributes:
        workers: processes that train one trial together.
        cpus_per_worker: CPUs that each holds.
        gpus_per_worker: 1 for a GPU each; a part, as 0.5, lets several trials of one worker share a GPU.
        accelerator_type: the GPUs it takes, as Ray names them (``L4``, ``A100``, ``H100``); ``None`` takes any, but the same for all
            workers of a trial.
    """

    workers: int = 1
    cpus_per_worker: int = 1
    gpus_per_worker: float = 0
    accelerator_type: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A search over fine-tunings of one base on one corpus. A space file defines one, named ``sweep``.

    Attributes:
        space: a function of an ``optuna.Trial`` that suggests :class:`TrialSettings` fields by name (and may return further fixed
            ones), or a dict of ``optuna.distributions``.
        corpus: a corpus folder, a folder of shards, or ``demo`` for the corpus that vibesweep speaks itself.
        model: the base to fine-tune: a shipped one's name, a base's folder, or ``vibevoice:<folder or hub id>``.
        settings: what the space leaves alone.
        budget: how long a trial may train and when ASHA looks.
        trials: how many settings are tried.
        try_first: settings that are tried before the sampler chooses any.
        resources: what one trial holds.
        lanes: trials that train at the same time; ``None`` takes as many as the cluster holds, or may grow to hold.
        seed: of the sampler, and of every trial's data order and noise, so that trials can be compared pair by pair.
    """

    space: Space
    corpus: str = "demo"
    model: str = "mel-tiny"
    settings: TrialSettings = field(default_factory=TrialSettings)
    budget: Budget = field(default_factory=Budget)
    trials: int = 12
    try_first: tuple[Mapping[str, Any], ...] = ()
    resources: TrialResources = field(default_factory=TrialResources)
    lanes: int | None = None
    seed: int = 0


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step, as the logs show it."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float


@dataclass(frozen=True)
class Report:
    """What a trial says each time it has been validated, or has ended early.

    Attributes:
        step: optimizer steps taken so far.
        loss_val: validation loss in canonical weights; ``inf`` where the trial diverged.
        loss_train: mean training loss since the last report.
        steps_per_s: optimizer steps a second since the last report, validation left out.
        curve: the steps since the last report.
        diverged: why the trial is given up as diverged, or ``None``.
        early_stopped: whether the trial's patience is spent.
        first_step_unix_s: when the trial's first optimizer step was done (Unix time).
        trained_parameters: how many the trial trains; its checkpoint holds these.
    """

    step: int
    loss_val: float
    loss_train: float
    steps_per_s: float
    curve: tuple[StepRecord, ...]
    diverged: str | None = None
    early_stopped: bool = False
    first_step_unix_s: float = 0.0
    trained_parameters: int = 0

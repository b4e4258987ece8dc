"""What a trial takes, beside how good it is: figures that it reports, less for better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """A figure that may be sought beside the first objective.

    Attributes:
        name: of the field of a report and of a trial's record; 0 there means not known.
        title: in tables and figures.
        versus: what it is called in "loss against ...".
    """

    name: str
    title: str
    versus: str


STEP_MS = Cost("step_ms", "ms a step", "step time")
PEAK_MEMORY_MB = Cost("peak_memory_mb", "peak MB", "memory")
TRAINED_PARAMETERS = Cost("trained_parameters", "parameters", "trained parameters")
COSTS = {cost.name: cost for cost in (STEP_MS, PEAK_MEMORY_MB, TRAINED_PARAMETERS)}

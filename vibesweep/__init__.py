"""Find the best fine-tuning of a VibeVoice-like model on your recordings for the fewest GPU-hours.

The way of the data, one folder for each stretch::

    recordings -> corpus -> Parquet shards -> models + training -> sweep -> delivery -> speech

A space file needs :class:`Sweep`, :class:`TrialSettings`, :class:`Budget` and
:class:`TrialResources`. A program also runs a sweep (:meth:`Sweep.run`), reads one that has run
(:meth:`Sweep.load`, which gives :class:`Results`) and speaks (:class:`Voice`). Importing this takes
neither torch nor Ray.
"""

from vibesweep.api import Results, Sweep, Trial, Voice
from vibesweep.config import Budget, Guess, TrialResources, TrialSettings
from vibesweep.version import __version__

__all__ = [
    "Budget",
    "Guess",
    "Results",
    "Sweep",
    "Trial",
    "TrialResources",
    "TrialSettings",
    "Voice",
    "__version__",
]

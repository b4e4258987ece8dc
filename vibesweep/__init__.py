"""Find the best fine-tuning of a VibeVoice-like model on your recordings for the fewest GPU-hours.

The way of the data, one folder for each stretch::

    recordings -> corpus -> Parquet shards -> models + training -> sweep -> delivery -> speech
"""

from vibesweep.config import Budget, Sweep, TrialResources, TrialSettings

__all__ = ["Budget", "Sweep", "TrialResources", "TrialSettings"]
__version__ = "0.1.0"

"""A VibeVoice checkpoint on disk.

``checkpoint`` opens one in transformers' layout and reads its tensors; ``locate`` finds its folder
and files. ``convert`` writes the original repository's layout again as transformers', with the
tensor names of ``original_names`` and the configuration of ``original_config``.
"""

from vibesweep.models.vibevoice.checkpoint.checkpoint import (
    BIAS,
    ENCODERS,
    SCALE,
    Checkpoint,
    transformers_name,
)
from vibesweep.models.vibevoice.checkpoint.locate import (
    CONFIG,
    WEIGHTS,
    WEIGHTS_INDEX,
    folder_of,
    is_checkpoint,
    load_config,
)

__all__ = [
    "BIAS",
    "CONFIG",
    "ENCODERS",
    "SCALE",
    "WEIGHTS",
    "WEIGHTS_INDEX",
    "Checkpoint",
    "folder_of",
    "is_checkpoint",
    "load_config",
    "transformers_name",
]

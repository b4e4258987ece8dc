"""A trial's model, written in the layouts that others load.

``trained`` reads the tensors that a trial trained. ``layouts`` writes them (:data:`LAYOUTS` is the
table), with ``adapter_files`` for peft's files, ``community`` for the two loaders of the community
and ``cards`` for READMEs. ``read_back`` reads what was written and measures what it changes.
"""

from vibesweep.models.vibevoice.export.layouts import LAYOUTS, write_layout
from vibesweep.models.vibevoice.export.trained import TrainedTensors

__all__ = ["LAYOUTS", "TrainedTensors", "write_layout"]

"""A trial's model, written in the layouts that others load.

``trained`` reads the tensors that a trial trained, ``layouts`` writes them (:data:`LAYOUTS` is the
table), and ``cards`` has the README of an exported adapter.
"""

from vibesweep.models.vibevoice.export.layouts import LAYOUTS, write_layout
from vibesweep.models.vibevoice.export.trained import TrainedTensors

__all__ = ["LAYOUTS", "TrainedTensors", "write_layout"]

"""What a Python program does with vibesweep: the verbs of the command line as methods.

``sweep`` has a sweep that runs, ``results`` what a sweep has found, and ``voice`` a model that
speaks. As in the command line, each method imports the heavy libraries that it needs when it is
called.
"""

from vibesweep.api.results import Results, Trial
from vibesweep.api.sweep import Sweep
from vibesweep.api.voice import Voice

__all__ = ["Results", "Sweep", "Trial", "Voice"]

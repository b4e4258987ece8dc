"""The command line: verbs that parse their options, call one function and print what it returns.

application.py has the Typer app and ``main``. The verbs are in sweeps.py (run, submit, attach,
logs), control.py (stop, pause, resume, rerun), corpus.py (demo-corpus, preprocess, inspect),
results.py (list, show, export, evaluate, convert, synthesize), spaces.py (new-space), plan.py and
doctor.py. Each imports the heavy libraries that it needs when it is called.
"""

# The order of these imports is that of the verbs in --help.
from vibesweep.cli import sweeps  # isort: skip
from vibesweep.cli import plan  # isort: skip
from vibesweep.cli import control  # isort: skip
from vibesweep.cli import corpus  # isort: skip
from vibesweep.cli import results  # isort: skip
from vibesweep.cli import spaces  # isort: skip
from vibesweep.cli import doctor  # isort: skip
from vibesweep.cli.application import app, main

__all__ = ["app", "control", "corpus", "doctor", "main", "plan", "results", "spaces", "sweeps"]

"""The command line: verbs that parse their options, call one function and print what it returns.

application.py has the Typer app and ``main``; sweep_options.py has each option of the verbs about
sweeps, corpus_options.py those of preprocess. run.py runs a sweep, through run_here.py and
outcome.py or through job_server.py. jobs.py has submit, attach and logs, control.py stop, pause,
resume, rerun and clone, corpus.py demo-corpus, preprocess and inspect, show.py list, show and
report; any other verb has a file of its name. Each imports the heavy libraries that it needs when
it is called.
"""

# The order of these imports is that of the verbs in --help.
from vibesweep.cli import run  # isort: skip
from vibesweep.cli import jobs  # isort: skip
from vibesweep.cli import plan  # isort: skip
from vibesweep.cli import show  # isort: skip
from vibesweep.cli import export  # isort: skip
from vibesweep.cli import evaluate  # isort: skip
from vibesweep.cli import convert  # isort: skip
from vibesweep.cli import synthesize  # isort: skip
from vibesweep.cli import control  # isort: skip
from vibesweep.cli import corpus  # isort: skip
from vibesweep.cli import spaces  # isort: skip
from vibesweep.cli import doctor  # isort: skip
from vibesweep.cli.application import app, main

__all__ = [
    "app",
    "control",
    "convert",
    "corpus",
    "doctor",
    "evaluate",
    "export",
    "jobs",
    "main",
    "plan",
    "run",
    "show",
    "spaces",
    "synthesize",
]

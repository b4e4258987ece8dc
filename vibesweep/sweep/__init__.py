"""Many trials: from a search space to a record of how each trial went.

run.py runs a sweep from beginning to end; resume.py looks whether one can go on, prepare.py makes
its shards, tuning.py runs its trials through Ray Tune, trial.py is one of them, waiting.py says why
lanes wait, signals.py hears Ctrl-C.
search/ decides what is tried and who goes on, record/ writes down what happens (it can be read
without ray), jobs/ gives a sweep to a cluster's job server.
"""

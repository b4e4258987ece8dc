"""Many trials: from a search space to a record of how each trial went.

run.py runs a sweep from beginning to end. Before Ray starts, checks/ finds the user's mistakes and
resume.py looks whether a sweep can go on; then ready.py has prepare.py make the shards, and says
what is about to happen, by plan/. on_lanes.py brings the lanes up, tuning.py runs the trials
through Ray Tune, trial.py is one of them, and repeat.py trains the best again.

While it runs, failed.py, allowance.py and disk.py may end or pause it, signals.py hears Ctrl-C,
steering.py does what asking.py asks from elsewhere, kept_checkpoints.py frees the disk, waiting.py
says why lanes wait, and trackers.py tells MLflow and W&B. Three of them look again and again, each
in a thread of its own (repeating.py).

rerun.py trains one trial again. clone.py makes a sweep of one, clone_inside.py a further trial of
the sweep that runs. search/ decides what is tried and who goes on, record/ writes down what happens
(it can be read without ray), jobs/ gives a sweep to a cluster's job server.
"""

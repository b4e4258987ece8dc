"""Which settings are tried, and how long each trial trains.

A user's space: space_file.py reads it, space.py turns its suggestions into settings, with what
``--set`` fixes (fixed.py) and each point of ``try_first`` checked (points.py). branches.py draws
from its whole range, survey.py counts what is in error, enumeration.py what there is at all, and
draft.py writes a first one.

The search: searcher.py, for a sweep sweep_search.py, asks Optuna for the next trial. sampler.py
draws it: win_shares.py says how the trials stand, modelled_space.py and axes.py make numbers of
their settings, gaussian_process.py says where better ones are likely, and guesses.py leans towards
the user's guesses. warm.py brings trials of earlier sweeps along. scheduler.py decides at each
validation who goes on, by ranks.py. The study itself is record/study.py's.
"""

"""Which settings are tried, and how long each trial trains.

space_file.py reads a user's space, space.py turns its suggestions into settings; searcher.py, for
a sweep sweep_search.py, asks Optuna for the next trial, which sampler.py draws without repeats of
what enumeration.py has counted, leaning towards what guesses.py makes of the user's guesses, and
scheduler.py decides at each rung who goes on. The study itself is record/study.py's.
"""

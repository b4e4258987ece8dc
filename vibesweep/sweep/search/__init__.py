"""Which settings are tried, and how long each trial trains.

space_file.py reads a user's space, space.py turns its suggestions into settings; searcher.py asks
Optuna for the next trial (optuna_study.py), and scheduler.py decides at each rung who goes on.
"""

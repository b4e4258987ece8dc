"""Many trials: space (what to try) -> searcher (Optuna) -> trial (Tune) on lanes, under scheduler (ASHA); log and progress tell of it.

record owns the names of everything that a sweep leaves on disk; it imports no ray, so that delivery can read it.
"""

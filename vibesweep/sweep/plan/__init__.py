"""What a sweep will take, known before its first trial.

forecast.py says how often each clip will be heard, and how long that takes; disk_bound.py what the
folder takes at most; expected.py simulates how far the trials will come. corpus_size.py reads or
measures the speech, planning.py puts all of it together, and text.py prints it.
"""

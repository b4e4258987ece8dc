"""Sound as samples, levels and log-mels. rates.py owns the arithmetic of sample rates and hops.

levels.py measures and sets levels, resampling.py changes rates, mel.py makes log-mels and
vocoder.py sound of them. segmentation.py cuts long recordings, with silences.py, turn_boundaries.py
and turn_lengths.py below it. Nothing here reads a file.
"""

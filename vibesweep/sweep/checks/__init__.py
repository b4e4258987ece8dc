"""The user's mistakes, found before Ray starts.

early.py looks at everything, by what aim.py says of objectives and limits, corpus.py of recordings
and shards, and settings.py of what the space suggests.
"""

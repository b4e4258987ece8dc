"""Recordings become Parquet shards here.

::

    metadata.csv, audio/, text/ ──▶ metadata ──▶ audio (log-mel) ──┐
                                        │                          ├──▶ clips ──▶ *.parquet, manifest.json
                                        └─────▶ phonemes ──────────┘

``plan`` says which recording goes into which file, ``shards`` has Ray Data run the work, ``rejects`` names what may be wrong with
one recording, ``manifest`` is what readers of the shards need (neither ray nor torch). ``demo`` speaks a corpus of its own, with
``sentences`` and ``voices``.
"""

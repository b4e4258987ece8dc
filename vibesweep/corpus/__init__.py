"""Recordings become Parquet shards here.

::

    a table ──▶ metadata ──▶ fingerprints ──▶ plan ─────────────▶ shards (Ray Data)
    (table, ljspeech, jsonl)  what is there?   what goes together?    │
                                                                      ▼
    audio, texts ──▶ decoding, cutting, audio ──┬──▶ clips ──▶ parts ──▶ pack ──▶ *.parquet, manifest.json
                     turns, spelling, phonemes ─┘

``recordings`` and ``rejects`` are the words of all this: what a corpus is made of, and what may be wrong with it. ``parquet`` and
``manifest`` are what readers of the shards need (neither ray nor torch), ``inspection`` shows them to people. ``demo`` speaks a corpus
of its own, with ``sentences`` and ``voices``.
"""

"""Recordings become Parquet shards here.

::

    a table ──▶ metadata ──▶ fingerprints ──▶ plan ─────────────▶ shards (Ray Data)
                (layouts)     what is there?   what goes together?    │
                                                                      ▼
    audio, texts ──▶ decoding, cutting, audio ──┬──▶ clips ──▶ parts ──▶ pack ──▶ *.parquet, manifest.json
                     turns, spelling, phonemes ─┘

``recordings`` and ``rejects`` are the words of all this: what a corpus is made of, and what may be wrong with it. ``encoding`` has the
steps between a table and a folder of shards, each of them without ray; ``shards`` has Ray Data do them. ``parquet``, ``manifest``,
``features`` and ``statistics`` are what readers of the shards need (neither ray nor torch), ``inspection`` shows them to people. ``demo``
speaks a corpus of its own.
"""

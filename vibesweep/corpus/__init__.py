"""Recordings become Parquet shards.

``recordings`` and ``rejects`` say what a corpus is made of and what may be wrong with it.
``ingest`` reads tables and audio files, ``text`` makes turns and phonemes, ``sound`` owns rates,
levels and mels. ``clip_encoder`` is what a model family brings, ``preprocess`` makes the shards
with Ray Data, ``shards`` describes them to their readers. ``demo`` speaks a corpus of its own.
"""

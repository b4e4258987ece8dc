"""Microsoft's VibeVoice, on checkpoints in transformers' layout.

``checkpoint`` opens a checkpoint and converts the original repository's; ``text`` turns scripts
into token ids. ``encoder`` computes a corpus's features once, ``rows`` reads them from the shards,
``batch`` makes sequences and ``model`` has the losses. ``speech`` synthesizes, ``export`` writes a
trial's model in the layouts that others load.
"""

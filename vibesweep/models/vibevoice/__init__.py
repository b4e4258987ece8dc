"""Microsoft's VibeVoice, in transformers' layout.

``family`` is the way in. ``encoder`` and ``sound_encoder`` make the columns of the shards and
``features`` reads them; ``text`` renders scripts, ``batch`` makes sequences, ``model`` has the
losses, ``speech`` speaks. ``checkpoint/`` reads checkpoints and converts the original's;
``export/`` writes what a trial has trained.
"""

"""VibeVoice's architecture on log-mels.

``family`` is the way in; ``encoder`` makes the columns of the shards, ``latents`` projects mels by
PCA, ``batch`` makes sequences, ``model`` has the losses, and ``speech`` speaks.
"""

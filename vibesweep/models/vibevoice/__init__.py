"""Microsoft's VibeVoice, in transformers' layout.

``checkpoint`` finds one and reads its tensors, ``text`` renders scripts; ``encoder`` hears a corpus once, ``rows`` takes what the shards
keep of it, ``batch`` makes sequences of it, ``model`` has the losses. ``trained`` reads what a trial leaves. ``names``, ``original``
and ``convert`` are about the original repository's layout.
"""

"""From recordings to shards.

``run`` is the whole of it. ``fingerprints`` and ``plan`` say what is to be done; ``clips`` and
``parts`` decode recordings and have a model family encode them; ``tasks`` spreads that over Ray;
``pack`` and ``shard_folder`` make the shards; ``progress`` shows how it gets on.
"""

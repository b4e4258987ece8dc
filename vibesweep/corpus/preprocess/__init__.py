"""From recordings to shards.

``run`` is the whole of it. ``survey`` looks at the corpus with ``files``, ``recurring_tags`` and
``fingerprints``, and ``plan`` says what is to be done; ``clips``, ``sounds``, ``trimming`` and
``parts`` decode recordings and have a model family encode them; ``tasks`` spreads that over Ray;
``pack`` and ``shard_folder`` make the shards; ``progress`` shows how it gets on.
"""

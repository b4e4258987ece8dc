"""The steps of making shards, none of which knows Ray.

``fingerprints`` and ``plan`` say what is to be done, ``parts`` and ``hearing`` do it, ``pack`` and ``shard_folder`` put it together;
``progress`` and ``stopwatch`` tell how it gets on.
"""

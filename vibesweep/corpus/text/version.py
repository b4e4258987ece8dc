"""The version of how texts are read, which shards and models remember."""

TEXT_VERSION = 2
"""To be raised whenever a text may become other phonemes than before."""

"""From shards to the clips of each optimizer step."""

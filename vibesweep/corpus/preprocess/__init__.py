"""From recordings to shards: what is to be done, who does it, and how it gets on."""

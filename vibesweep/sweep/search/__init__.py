"""Which settings are tried, and how long each trial trains."""

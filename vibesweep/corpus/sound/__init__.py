"""Samples: levels, resampling, log-mels and back, and where a long recording is cut."""

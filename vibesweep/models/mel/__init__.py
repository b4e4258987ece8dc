"""VibeVoice's architecture on log-mels: ``latents`` (PCA), ``batch`` (sequences), ``model`` (losses) and ``speak``."""

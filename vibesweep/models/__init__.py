"""Shards' columns to a loss, and text to latents.

base (what every family is) ◂ diffusion (the objective, shared) ◂ mel and its parts; adapters (LoRA, freezing) and bundle (a model's
folder) serve every family.
"""

"""Shards' columns to a loss, and text to speech: a folder a family.

``registry`` has the table of families and parses models' names; ``family`` says what a family is.
``speech_model``, ``clips`` and ``losses`` say what its network is. Families share ``diffusion``
(the objective), ``draws`` and ``prompts`` (what is drawn for a clip), ``qwen2`` (the backbone),
``adapters`` (LoRA, freezing) and the ``bundle`` files; ``packing`` puts clips side by side in a
row, ``seating`` and ``packed`` let trials share a network, and ``recipe`` is where a search starts.
Importing this package imports no torch.
"""

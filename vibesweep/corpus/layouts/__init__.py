"""The tables that corpora come with: ``table`` (our own), ``ljspeech`` and ``jsonl``.

``rows`` is what they share, ``segments`` says when turns are spoken.
"""

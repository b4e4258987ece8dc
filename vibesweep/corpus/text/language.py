"""Languages by the names that eSpeak NG gives them, such as ``en-us``, ``de`` or ``fr-fr``."""

from __future__ import annotations

DEFAULT_LANGUAGE = "en-us"
"""In which texts are read where neither the user nor the model says otherwise."""


def base_language(language: str) -> str:
    """Return a language without its region: ``en`` of ``en-us``."""
    return language.split("-")[0]

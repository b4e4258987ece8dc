"""Secrets that stand in the environment or in an address, and must not reach what is kept."""

from __future__ import annotations

import os
import re

_SECRET_NAME = re.compile(r"SECRET|PASSW|CREDENTIAL|TOKEN(?!IZER)|API_?KEY|(ACCESS|PRIVATE)_KEY")
_NAME_OF_A_FILE = re.compile(r"(PATH|FILE|DIR)$")
LEAST_CHARACTERS = 8
"""A shorter value, such as ``token`` in RAY_AUTH_MODE, is a word that texts may hold."""

_USER_AND_PASSWORD = re.compile(r"(?P<scheme>[^:/?]+://)[^/?@]*:[^/?@]*@")
_SECRET_OPTION = re.compile(r"[?&]\w*(secret|token|passw|credential|_key)\w*=", re.IGNORECASE)


def without_secrets(text: str) -> str:
    """Replace the values of secret environment variables in a text by the variables' names.

    Errors of stores, hubs and trackers may quote what they were called with. A variable is secret
    by its name: AWS_SECRET_ACCESS_KEY, HF_TOKEN, WANDB_API_KEY, RAY_AUTH_TOKEN and their like.
    """
    for name, value in os.environ.items():
        if len(value) >= LEAST_CHARACTERS and value in text and _is_secret(name):
            text = text.replace(value, f"${name}")
    return text


def has_secret(address: str) -> bool:
    """Tell whether a URI has a password or a key in it."""
    is_uri = "://" in address
    found = _USER_AND_PASSWORD.match(address) or _SECRET_OPTION.search(address)
    return is_uri and found is not None


def without_options(address: str) -> str:
    """Return a URI without its options and without user and password, to be shown."""
    shown = _USER_AND_PASSWORD.sub(r"\g<scheme>", address)
    return shown.partition("?")[0]


def _is_secret(name: str) -> bool:
    upper = name.upper()
    is_file = _NAME_OF_A_FILE.search(upper) is not None
    return not is_file and _SECRET_NAME.search(upper) is not None

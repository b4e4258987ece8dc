"""Names that stand in a file which somebody else may have written."""

from __future__ import annotations

_FOLDERS = ("", ".", "..")


def is_plain_name(name: object) -> bool:
    """Tell whether a name can only be that of a file in the folder at hand.

    An absolute path, a path through other folders, and what is no text at all are none. Neither are
    names with a backslash or a colon, which are paths on Windows.
    """
    if not isinstance(name, str) or name in _FOLDERS:
        return False
    return not any(sign in name for sign in "/\\:\0")

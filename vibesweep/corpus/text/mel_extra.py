"""The packages of the extra ``mel``, which phonemes and the demo's voices need and nothing else.

eSpeak NG is under the GPL, and models that read texts themselves need none of these packages. So
they are imported where they are used, and what is missing is named.
"""

from __future__ import annotations

import importlib.util

from vibesweep.errors import CorpusError

INSTALL = 'pip install "vibesweep[mel]"'
PACKAGES = {
    "espeakng_loader": "espeakng-loader",
    "pypinyin": "pypinyin",
    "wetext": "wetext",
    "babel": "babel",
}
"""Packages of the extra by the modules that are imported from them."""


def require_packages(purpose: str, *modules: str) -> None:
    """Check that packages of the extra are installed, without importing them.

    Args:
        purpose: what needs them, as the subject of a sentence in the plural.
        modules: keys of :data:`PACKAGES`; all of them when none is named.

    Raises:
        CorpusError: at least one is not installed.
    """
    missing = [PACKAGES[name] for name in modules or PACKAGES if not is_installed(name)]
    if missing:
        raise CorpusError(
            f"{purpose} need {', '.join(missing)}, which this Python does not have",
            fix=f"run {INSTALL}",
        )


def is_installed(module: str) -> bool:
    """Tell whether a module could be imported, without importing it."""
    return importlib.util.find_spec(module) is not None

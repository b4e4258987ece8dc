"""What a user should know of shards before a sweep ranks its trials by them."""

from __future__ import annotations

from vibesweep.corpus.shards.manifest import Manifest

FEWEST_VALIDATION_CLIPS = 5
"""With fewer, two equal trials agree on every clip by chance more than once in twenty: 0.5 to the
fourth is 6 %, to the fifth 3 %. So not even "better on each clip" would say that one is better."""

HOLD_OUT_MORE = "add recordings, or hold out more of them with --val-fraction or --val-ids"


def validation_remark(manifest: Manifest) -> str | None:
    """Say in one line that a ranking by these validation clips would be none, where that is so."""
    count = manifest.clips["val"]
    if count == 0:
        return f"there are no validation clips, by which a sweep ranks its trials: {HOLD_OUT_MORE}"
    if count >= FEWEST_VALIDATION_CLIPS:
        return None
    clips = "clip is" if count == 1 else "clips are"
    chance = 100 * 0.5**count
    return (
        f"{count} validation {clips} no ranking: of two trials that are equally good, one is"
        f" better on every clip by chance in {chance:.0f} % of the cases;"
        f" take {FEWEST_VALIDATION_CLIPS} or more: {HOLD_OUT_MORE}"
    )

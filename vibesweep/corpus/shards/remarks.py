"""What a user should know of shards before a sweep trains on them and ranks its trials by them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from vibesweep.corpus.rejects import WARNINGS
from vibesweep.corpus.shards.manifest import WARNINGS_FILE, Manifest, read_manifest
from vibesweep.errors import ShardsError
from vibesweep.storage import StorageAddress, StoragePath
from vibesweep.storage.parquet import open_parquet

FEWEST_VALIDATION_CLIPS = 5
"""With fewer, two equal trials agree on every clip by chance more than once in twenty: 0.5 to the
fourth is 6 %, to the fifth 3 %. So not even "better on each clip" would say that one is better."""

OF_PEOPLE = ("several_folders", "several_voices")
"""Warnings about tags that may cover several people."""
NAME_THEM = "if these are several people, give each a name of their own and preprocess again"
NAMES_SHOWN = 3

HOLD_OUT_MORE = "add recordings, or hold out more of them with --val-fraction or --val-ids"


def remarks(shards: StorageAddress) -> list[str]:
    """Say what is odd about shards, a line for each finding.

    Raises:
        ShardsError: there are none.
    """
    manifest = read_manifest(shards)
    lines = [validation_remark(manifest), _lone_clips_remark(manifest)]
    told = [line for line in lines if line is not None]
    return [*told, *_remarks_on_people(manifest, StoragePath.of(shards))]


def check_enough_clips(clips: int, workers: int, shards: str) -> None:
    """Refuse fewer training clips than workers: one of them would never have a clip.

    Raises:
        ShardsError: there are too few.
    """
    if clips < workers:
        found = f"{clips} training clips cannot feed {workers} workers"
        raise ShardsError(found, where=shards, fix="add recordings or take fewer workers")


def _lone_clips_remark(manifest: Manifest) -> str | None:
    """Name the people whose voice prompts could only be what is to be spoken itself."""
    alone = [person for person, clips in manifest.speakers.items() if clips == 1]
    if not alone:
        return None
    people = "1 person speaks" if len(alone) == 1 else f"{len(alone)} people speak"
    return (
        f"{people} in a single clip ({_listed(alone)}): no voice prompt can be taken from another"
        " one, so they are trained without, unless the corpus names a prompt"
    )


def _remarks_on_people(manifest: Manifest, shards: StoragePath) -> Iterator[str]:
    reasons = [reason for reason in OF_PEOPLE if manifest.warnings.get(reason)]
    if not reasons:
        return
    found = open_parquet(shards / WARNINGS_FILE).read().to_pylist()
    for reason in reasons:
        details = [row["detail"] for row in found if row["reason"] == reason]
        yield f"{WARNINGS[reason]}: {_listed(details, '; ')}; {NAME_THEM}"


def _listed(names: Iterable[str], between: str = ", ") -> str:
    every = list(names)
    more = len(every) - NAMES_SHOWN
    shown = every[:NAMES_SHOWN]
    return between.join([*shown, f"{more} more"] if more > 0 else shown)


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
        f"{count} validation {clips} no ranking: of two equally good trials the first is better"
        f" on every clip by chance in {chance:.0f} % of the cases;"
        f" take {FEWEST_VALIDATION_CLIPS} or more: {HOLD_OUT_MORE}"
    )

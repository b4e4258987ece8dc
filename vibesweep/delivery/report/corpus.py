"""What a sweep was trained on, in a table."""

from __future__ import annotations

from vibesweep.corpus.rejects import REASONS, WARNINGS
from vibesweep.corpus.shards.manifest import SPLITS, Manifest
from vibesweep.delivery.report.tables import Table

MINUTES_PER_HOUR = 60
PEOPLE_SHOWN = 20
SPLIT_NAMES = {"train": "training", "val": "validation"}


def corpus_tables(manifest: Manifest) -> list[Table]:
    """Tabulate what the shards hold, and what was left out of them or is odd."""
    languages = [[name, str(turns)] for name, turns in manifest.languages.items()]
    tables = [
        _clips(manifest),
        _people(manifest),
        Table("Languages", ("language", "turns"), languages),
    ]
    for caption, counts, texts in (
        ("Recordings left out", manifest.rejects, REASONS),
        ("Recordings with something odd", manifest.warnings, WARNINGS),
    ):
        found = []
        for name, count in counts.items():
            reason = texts.get(name, name)
            found.append([reason, str(count)])
        if found:
            tables.append(Table(caption, ("reason", "recordings"), found))
    return tables


def _clips(manifest: Manifest) -> Table:
    rows = []
    for split in SPLITS:
        name = SPLIT_NAMES[split]
        clips = manifest.clips.get(split, 0)
        hours = manifest.hours.get(split, 0.0)
        minutes = MINUTES_PER_HOUR * hours
        rows.append([name, str(clips), f"{minutes:.1f}"])
    return Table("Clips", ("split", "clips", "minutes"), rows)


def _people(manifest: Manifest) -> Table:
    ordered = sorted(manifest.speakers.items(), key=lambda person: -person[1])
    rows = [[name, str(clips)] for name, clips in ordered[:PEOPLE_SHOWN]]
    caption = f"People, by the clips in which they speak: {len(ordered)}"
    if len(ordered) > PEOPLE_SHOWN:
        caption = f"{caption}, of whom {PEOPLE_SHOWN} are shown"
    return Table(caption, ("person", "clips"), rows)

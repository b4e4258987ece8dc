"""What a sweep was trained on, in a table."""

from __future__ import annotations

from vibesweep.corpus.rejects import REASONS, WARNINGS
from vibesweep.corpus.shards.manifest import SPLITS, Manifest
from vibesweep.delivery.report.tables import Table

MINUTES_PER_HOUR = 60
PEOPLE_SHOWN = 20


def corpus_tables(manifest: Manifest) -> list[Table]:
    """Tabulate what the shards hold, and what was left out of them or is odd."""
    rows = []
    for split in SPLITS:
        minutes = f"{MINUTES_PER_HOUR * manifest.hours.get(split, 0.0):.1f}"
        rows.append(
            [
                _split_name(split),
                str(manifest.clips.get(split, 0)),
                minutes,
            ]
        )
    tables = [
        Table(
            "Clips",
            ("split", "clips", "minutes"),
            rows,
        ),
        _people(manifest),
    ]
    languages = [[name, str(turns)] for name, turns in manifest.languages.items()]
    tables.append(
        Table(
            "Languages",
            ("language", "turns"),
            languages,
        )
    )
    for caption, counts, texts in (
        ("Recordings left out", manifest.rejects, REASONS),
        ("Recordings with something odd", manifest.warnings, WARNINGS),
    ):
        found = [[texts.get(name, name), str(count)] for name, count in counts.items()]
        if found:
            tables.append(
                Table(
                    caption,
                    ("reason", "recordings"),
                    found,
                )
            )
    return tables


def _split_name(split: str) -> str:
    return {"train": "training", "val": "validation"}[split]


def _people(manifest: Manifest) -> Table:
    ordered = sorted(manifest.speakers.items(), key=lambda person: -person[1])
    rows = [[name, str(clips)] for name, clips in ordered[:PEOPLE_SHOWN]]
    caption = f"People, by the clips in which they speak: {len(ordered)}"
    if len(ordered) > PEOPLE_SHOWN:
        caption = f"{caption}, of whom {PEOPLE_SHOWN} are shown"
    return Table(
        caption,
        ("person", "clips"),
        rows,
    )

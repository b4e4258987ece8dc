"""A report's page: what was found out, put into page.html with all that it needs to open offline.

Whatever comes from a corpus, a space or a file is text to the page, never a part of it: Jinja
escapes it, and the page's policy lets no script run but its own.
"""

from __future__ import annotations

import base64
import functools
import gzip
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from plotly.offline import get_plotlyjs

from vibesweep.corpus.shards.manifest import Manifest
from vibesweep.delivery.report.answer import answer_of
from vibesweep.delivery.report.corpus import corpus_tables
from vibesweep.delivery.report.costs import Costs, cost_table, costs_of
from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.figures.curves import draw_curves
from vibesweep.delivery.report.figures.drawing import Drawing
from vibesweep.delivery.report.figures.heard import draw_heard
from vibesweep.delivery.report.figures.importance import draw_importance
from vibesweep.delivery.report.figures.parallel import draw_parallel
from vibesweep.delivery.report.figures.pareto import draw_fronts
from vibesweep.delivery.report.figures.slices import draw_slices
from vibesweep.delivery.report.figures.timeline import draw_timeline
from vibesweep.delivery.report.filling import filling_lines
from vibesweep.delivery.report.reproduce import reproduction_of
from vibesweep.delivery.report.sounds import spoken_texts
from vibesweep.delivery.report.spans import Span, spans_of
from vibesweep.delivery.report.tables import (
    Table,
    table_of_broken,
    table_of_trials,
    table_of_voices,
)
from vibesweep.sweep.record.table import clones_lines, summary_of

PACKAGE = "vibesweep.delivery.report"


@dataclass(frozen=True, eq=False)
class Section:
    """A part of the page under a heading.

    Attributes:
        slug: its address in the page.
        title: its heading.
        told: its paragraphs, before anything else.
        drawings: its figures.
        small: figures that stand side by side where there is room.
        tables: its tables.
    """

    slug: str
    title: str
    told: Sequence[str] = ()
    drawings: Sequence[Drawing] = ()
    small: Sequence[Drawing] = ()
    tables: Sequence[Table] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing under the heading."""
        return not (self.told or self.drawings or self.small or self.tables)


def page_of(facts: Facts) -> str:
    """Make the page, as HTML."""
    spans = spans_of(facts.record, facts.reports)
    costs = costs_of(facts, spans)
    sections = _sections(facts, spans, costs)
    quality = facts.quality
    page: str = _template().render(
        record=facts.record,
        summary=summary_of(facts.record, facts.made_unix_s),
        made=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(facts.made_unix_s)),
        answer=answer_of(facts, costs),
        verdict="" if quality is None else quality.verdict,
        heard=None if quality is None else table_of_voices(quality),
        texts=spoken_texts(facts),
        sections=[section for section in sections if not section.is_empty],
        reproduction=reproduction_of(facts),
        nonce=secrets.token_urlsafe(16),
        style=_own("style.css"),
        draw=_own("draw.js"),
        plotly=_packed_plotly(),
    )
    return page


def _sections(facts: Facts, spans: Sequence[Span], costs: Costs) -> list[Section]:
    matter = _known([draw_importance(facts), draw_parallel(facts)])
    slices = draw_slices(facts)
    cost = cost_table(costs, facts.budget.last_step)
    trials = [table_of_trials(facts.record, facts.validated), table_of_broken(facts.record)]
    return [
        Section("curves", "Learning curves", drawings=_known([draw_curves(facts)])),
        Section("settings", "The settings", drawings=matter, small=slices),
        Section("heard", "Heard while they trained", drawings=_known([draw_heard(facts)])),
        Section("pareto", "Loss against step time and memory", drawings=draw_fronts(facts)),
        Section(
            "cost",
            "What it cost",
            filling_lines(facts.record.trials),
            drawings=_known([draw_timeline(facts, spans)]),
            tables=[cost],
        ),
        Section("trials", "The trials", _told_of_clones(facts), tables=_known(trials)),
        _corpus(facts),
    ]


def _told_of_clones(facts: Facts) -> list[str]:
    lines = clones_lines(facts.record)
    return [f"{line[0].upper()}{line[1:]}." for line in lines]


def _corpus(facts: Facts) -> Section:
    if isinstance(facts.manifest, Manifest):
        encoder = facts.manifest.encoder
        told = f"Encoded as {encoder.name}: {encoder.summary}."
        return Section("corpus", "The corpus", [told], tables=corpus_tables(facts.manifest))
    return Section("corpus", "The corpus", [f"It cannot be described: {facts.manifest}"])


def _known(found: Iterable[Any | None]) -> list[Any]:
    return [item for item in found if item is not None]


def _template() -> Template:
    environment = Environment(
        loader=PackageLoader(PACKAGE, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _own(name: str) -> str:
    return (files(PACKAGE) / name).read_text(encoding="utf-8")


@functools.cache
def _packed_plotly() -> str:
    """Compress Plotly's script: it has 5 MB, and browsers unpack it in a moment."""
    script = get_plotlyjs().encode()
    packed = gzip.compress(script, mtime=0)
    return base64.b64encode(packed).decode()

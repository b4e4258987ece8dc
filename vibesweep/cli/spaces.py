"""The verb that writes a first space file for a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vibesweep.cli.application import app, say, say_next
from vibesweep.config.sweep import DEFAULT_MODEL
from vibesweep.errors import SpaceError


@app.command("new-space")
def new_space(
    corpus: Annotated[
        str, typer.Argument(help="Recordings as preprocess takes them, or shards; a path or URI.")
    ],
    out: Annotated[
        Path | None, typer.Argument(help="The file to write; the corpus's name unless given.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="A base's name or folder, or vibevoice:<folder or hub id>.")
    ] = DEFAULT_MODEL,
) -> None:
    """Write a commented space file for a corpus.

    The corpus is looked at; the file is there to be changed and run.
    """
    from vibesweep.corpus.preprocess.facts import corpus_facts
    from vibesweep.models.registry import ModelRef
    from vibesweep.storage.early import check_file_writable
    from vibesweep.sweep.search.draft import draft_space, facts_lines, file_name
    from vibesweep.sweep.search.space_file import load_space

    file = out or Path(file_name(corpus))
    if file.exists():
        fix = "name another file, or remove it"
        raise SpaceError("it is there already", where=str(file), fix=fix)
    check_file_writable(file, "OUT")
    base = ModelRef.parse(model)
    facts = corpus_facts(corpus, base.family.language(base.address))
    for line in facts_lines(facts):
        say(line)
    recipe = base.family.recipe(facts.clips)
    text = draft_space(str(file), corpus, model, facts, recipe)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    load_space(file)
    say(f"space:      {file}")
    say_next("run", str(file))

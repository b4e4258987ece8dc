"""Writes a first space file for a corpus: what it holds, ranges that fit the model, and why."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from textwrap import dedent, indent
from typing import Any

from vibesweep.config import Budget, CorpusSettings, TrialSettings, epoch_steps
from vibesweep.corpus.preprocess.facts import CorpusFacts
from vibesweep.models.recipe import Recipe
from vibesweep.sweep.record.plan import SECONDS_AN_HOUR

LISTED_PEOPLE = 8
TRAINING_SHARE = 1 - CorpusSettings.val_fraction
"""Of the recordings; the others are held out for validation."""
WIDTH = 100
"""Characters of a line."""

FILE = '''\
"""A search for {shown_corpus}, drafted by `vibesweep new-space`. Change what you know better.

{facts}

python -m vibesweep run {file}
"""

import optuna

from vibesweep import {names}


def space(trial: optuna.Trial) -> None:
    """Suggest one trial."""
{space}

sweep = Sweep(
    space=space,
    corpus={corpus},
    model={model},
    # {settings_why}
    settings={settings},
    # {budget_why}.
    # {budget_here}
    budget={budget},
    trials={trials},
{options}    seed=0,
)
'''


def draft_space(file: str, corpus: str, model: str, facts: CorpusFacts, recipe: Recipe) -> str:
    """Write a space file.

    Args:
        file: its own name, for the command in its first lines.
        corpus: as `run` takes it.
        model: as `run` takes it.
        facts: what the corpus holds.
        recipe: of the model's family.

    Returns:
        The file's text.
    """
    names = ["Budget", "Sweep", "TrialSettings"]
    if recipe.resources:
        names.insert(2, "TrialResources")
    return FILE.format(
        shown_corpus=_plain(corpus),
        corpus=json.dumps(corpus, ensure_ascii=False),
        facts=_plain("\n".join(facts_lines(facts))),
        file=shlex.quote(file),
        names=", ".join(names),
        space=indent(dedent(recipe.space), "    "),
        model=json.dumps(model, ensure_ascii=False),
        settings_why=recipe.settings_why,
        settings=_call("TrialSettings", recipe.settings),
        budget_why=recipe.budget_why,
        budget_here=_budget_here(facts, recipe),
        budget=_call("Budget", recipe.budget),
        trials=recipe.trials,
        options=_options(recipe),
    )


def facts_lines(facts: CorpusFacts) -> list[str]:
    """Say what a corpus holds, in a line for each kind of thing."""
    lines = [f"About {facts.clips} clips, {facts.hours:.2g} hours of speech."]
    if facts.people:
        listed = ", ".join(facts.people[:LISTED_PEOPLE])
        more = len(facts.people) - LISTED_PEOPLE
        others = f" and {more} more" if more > 0 else ""
        lines.append(f"People: {listed}{others}.")
    else:
        lines.append("People: the tags in the texts.")
    counted = [f"{name} ({count})" for name, count in facts.languages.items()]
    lines.append(f"Languages, by what was looked at: {', '.join(counted) or 'unknown'}.")
    return lines


def file_name(corpus: str) -> str:
    """Name a space file after a corpus: my_recordings.py."""
    last = re.sub(r"/*(metadata\.\w+)?$", "", corpus).rpartition("/")[2]
    stem = re.sub(r"\.\w+$", "", last)
    plain = re.sub(r"\W+", "_", stem).strip("_")
    return f"{plain or 'space'}.py"


def _budget_here(facts: CorpusFacts, recipe: Recipe) -> str:
    """Say what the budget comes to on this corpus."""
    settings = TrialSettings(**recipe.settings)
    clips = max(round(facts.clips * TRAINING_SHARE), 1)
    speech_s = max(facts.hours * SECONDS_AN_HOUR * TRAINING_SHARE, 1.0)
    budget = Budget(**recipe.budget).in_steps(clips, speech_s, settings)
    epochs = budget.last_step / epoch_steps(clips, speech_s, settings)
    times = f"{epochs:.0f}" if epochs >= 2 else f"{epochs:.1f}"
    return f"Here: some {budget.last_step} steps, in which each clip is heard {times} times"


def _options(recipe: Recipe) -> str:
    """Write the arguments that only some recipes have."""
    lines = []
    if recipe.try_first:
        lines += [
            "# Known to be good elsewhere, so that the search starts from there",
            "try_first=(",
        ]
        lines += [f"    {dict(point)!r}," for point in recipe.try_first]
        lines.append("),")
    if recipe.resources:
        lines.append(f"resources={_call('TrialResources', recipe.resources)},")
    return "".join(f"    {line}\n" for line in lines).replace("'", '"')


def _call(name: str, arguments: Mapping[str, Any]) -> str:
    """Write a call, on one line where that fits."""
    written = [f"{key}={value!r}" for key, value in arguments.items()]
    line = f"{name}({', '.join(written)})".replace("'", '"')
    if len(line) + len("    resources=,") <= WIDTH:
        return line
    rows = "".join(f"        {argument},\n" for argument in written).replace("'", '"')
    return f"{name}(\n{rows}    )"


def _plain(text: str) -> str:
    """Leave out what would end a docstring or be read as an escape."""
    return re.sub(r'[\\"]', "?", text)

"""How to run a sweep again: the command, and what it ran on."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from vibesweep.config import TrialResources
from vibesweep.delivery.report.facts import Facts
from vibesweep.delivery.report.tables import Table

OPTIONS = ("corpus", "model", "trials", "repeat-best", "max-failed-fraction")
"""Options of ``run`` that may have changed what the space file says."""
SIGNATURE_SHOWN = 12
"""Hexadecimal digits of it, as many as the name of the shards' folder has."""


@dataclass(frozen=True)
class Reproduction:
    """What it takes to run a sweep again.

    Attributes:
        command: the command, or nothing where the space is not in the sweep's folder.
        space: the space file, as it was.
        conditions: what it ran on.
    """

    command: str
    space: str
    conditions: Table


def reproduction_of(facts: Facts) -> Reproduction:
    """Say how to run the sweep again."""
    space = ""
    command = ""
    if facts.folder.space.is_file():
        space = facts.folder.space.read_bytes().decode(errors="replace")
        command = _command(facts)
    return Reproduction(command, space, _conditions(facts))


def _command(facts: Facts) -> str:
    record = facts.record
    words = ["python", "-m", "vibesweep", "run", str(facts.folder.space)]
    for option in OPTIONS:
        setting = option.replace("-", "_")
        words += [f"--{option}", str(record.sweep[setting])]
    for name, value in record.sweep.get("fixed", {}).items():
        words += ["--set", f"{name}={value}"]
    words += ["--name", f"{record.name}-again"]
    return shlex.join(words)


def _conditions(facts: Facts) -> Table:
    record = facts.record
    resources = TrialResources(**record.sweep["resources"])
    devices = dict.fromkeys(trial.device for trial in record.trials if trial.device)
    rows = [
        ["base model", record.model],
        ["shards", record.shards],
        ["signature of the shards", record.shards_signature[:SIGNATURE_SHOWN]],
        ["seed", str(record.sweep["seed"])],
        ["lanes", str(record.lanes)],
        ["each lane", resources.in_words],
        ["trained on", ", ".join(devices) or "not known"],
    ]
    for package, version in record.versions.items():
        name = "vibesweep's commit" if package == "commit" else package
        rows.append([name, version])
    return Table("What the sweep ran on", ("what", "value"), rows)

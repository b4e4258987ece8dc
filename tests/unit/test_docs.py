"""What the docs and the search spaces say is true: their code is run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import cast

import click
import pytest
from typer.main import get_command

from vibesweep.cli import app
from vibesweep.config import TrialSettings
from vibesweep.sweep.search.space import load_space

ROOT = Path(__file__).parents[2]


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(
        rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL
    )


@pytest.mark.parametrize(
    "path", sorted((ROOT / "search_spaces").glob("*.py")), ids=lambda path: path.stem
)
def test_every_search_space_loads(path: Path) -> None:
    assert load_space(path).trials > 0


@pytest.mark.parametrize("page", ["README.md", "docs/spaces.md"])
def test_the_spaces_in_the_docs_load(page: str, tmp_path: Path) -> None:
    found = blocks(page, "python")
    assert found
    for number, code in enumerate(found):
        path = tmp_path / f"block_{number}.py"
        path.write_text(code)
        load_space(path)


def test_the_readme_shows_the_space_that_it_names(tmp_path: Path) -> None:
    shown = tmp_path / "shown.py"
    shown.write_text(blocks("README.md", "python")[0])
    ours, theirs = load_space(shown), load_space(ROOT / "search_spaces" / "lr_opt.py")
    for name in ("corpus", "model", "settings", "budget", "trials", "seed"):
        assert getattr(ours, name) == getattr(theirs, name)


def test_the_file_map_is_whole() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [
        f.name
        for f in sorted((ROOT / "vibesweep").iterdir())
        if f.is_dir() and f.name[0] != "_" and f"`vibesweep/{f.name}/`" not in readme
    ] == []


def test_every_setting_is_described() -> None:
    page = (ROOT / "docs" / "spaces.md").read_text()
    assert [name for name in TrialSettings.names() if f"`{name}`" not in page] == []


PAGES = ["README.md", *(str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").rglob("*.md")))]


def commands(page: str) -> list[str]:
    """Return what is typed after ``vibesweep``, with or without ``python -m``, in shell blocks and in the middle of the text."""
    shown = "".join(blocks(page, "sh")).splitlines()
    text = re.sub(r"^```.*?^```", "", (ROOT / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    quoted = [
        code
        for code in re.findall(r"`([^`]+)`", text)
        if code.startswith(("vibesweep ", "python -m vibesweep "))
    ]
    return [
        typed
        for line in [*shown, *quoted]
        for typed in re.findall(r"(?<![\w/.~-])vibesweep (\w[^'#&|]*)", line)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_verbs_and_options_that_are_shown(page: str) -> None:
    verbs = cast(click.Group, get_command(app)).commands
    for typed in commands(page):
        verb, *words = shlex.split(typed)
        verbs[verb].make_parser(click.Context(verbs[verb])).parse_args(words)


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text())
    assert [t for t in targets if "://" not in t and not ((ROOT / page).parent / t).exists()] == []

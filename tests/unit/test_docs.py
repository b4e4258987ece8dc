"""What the docs and the search spaces say is true: their code is run, their paths are looked up."""

from __future__ import annotations

import ast
import pydoc
import re
import runpy
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import cast

import click
import pytest
from typer.main import get_command

from vibesweep.cli import app
from vibesweep.config import TrialSettings
from vibesweep.sweep.search.space_file import load_space

ROOT = Path(__file__).parents[2]
SPACES = sorted((ROOT / "search_spaces").glob("*.py"))
PAGES = [
    "README.md",
    "README.zh-CN.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "examples/clusters/README.md",
    *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))),
]
HISTORY = "CHANGELOG.md"
"""Its paths are those of their time."""


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", read(page), re.MULTILINE | re.DOTALL)


def without_blocks(page: str) -> str:
    """Return a page's running text."""
    return re.sub(r"^```.*?^```", "", read(page), flags=re.MULTILINE | re.DOTALL)


# Search spaces


@pytest.mark.parametrize("path", SPACES, ids=lambda path: path.stem)
def test_every_search_space_loads(path: Path) -> None:
    assert load_space(path).trials > 0


@pytest.mark.parametrize("page", ["README.md", "docs/spaces.md"])
def test_the_spaces_in_the_docs_load(page: str, tmp_path: Path) -> None:
    found = blocks(page, "python")
    assert found
    for number, code in enumerate(found):
        path = tmp_path / f"block_{number}.py"
        path.write_text(code)
        assert load_space(path).trials > 0


def code_without_docstrings(source: str) -> str:
    """Return a program as ast prints it, less its docstrings and comments."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return ast.unparse(tree)


def test_the_readme_shows_the_space_that_it_names() -> None:
    (shown,) = blocks("README.md", "python")
    shipped = read("search_spaces/lr_opt.py")
    assert code_without_docstrings(shown) == code_without_docstrings(shipped)


def test_the_chinese_readme_shows_the_same_commands_settings_and_links() -> None:
    english, chinese = "README.md", "README.zh-CN.md"
    assert blocks(chinese, "sh") == blocks(english, "sh")
    (ours,), (theirs,) = blocks(english, "python"), blocks(chinese, "python")
    assert code_without_docstrings(ours) == code_without_docstrings(theirs)
    without_map, _, _ = read(english).partition("## File map")
    pattern = r"\]\(((?:docs|search_spaces)/[^)]+)\)"
    assert re.findall(pattern, read(chinese)) == re.findall(pattern, without_map)


def test_the_python_page_shows_its_example() -> None:
    (shown,) = blocks("docs/python.md", "python")
    example = read("examples/python_api.py")
    assert code_without_docstrings(shown) == code_without_docstrings(example)


def test_every_setting_is_described() -> None:
    page = read("docs/spaces.md")
    missing = [name for name in TrialSettings.names() if f"`{name}`" not in page]
    assert missing == []


# The site, which `mkdocs build --strict` makes


def test_every_page_is_in_the_sites_navigation() -> None:
    navigation = read("mkdocs.yml").partition("\nnav:")[2]
    listed = set(re.findall(r": ([\w/.-]+\.md)$", navigation, re.MULTILINE))
    pages = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    assert pages - listed == set()


@pytest.mark.parametrize(
    "name", re.findall(r"^::: (\S+)$", read("docs/reference.md"), re.MULTILINE)
)
def test_the_reference_lists_what_is_there_and_described(name: str) -> None:
    assert pydoc.locate(name).__doc__


@pytest.mark.parametrize("figure", sorted((ROOT / "docs" / "figures").glob("*.svg")))
def test_figures_are_as_their_program_draws_them(figure: Path, tmp_path: Path) -> None:
    program = runpy.run_path(str(ROOT / ".ci" / "figures.py"))
    program["Figure"].write.__globals__["OUT"] = tmp_path
    program[figure.stem]()
    assert (tmp_path / figure.name).read_text() == figure.read_text()


# Paths


def ignored_by_git(name: str) -> bool:
    """Return whether a file or folder at the top is built, downloaded or written by a run."""
    patterns = [line.strip("/") for line in read(".gitignore").splitlines()]
    return any(fnmatch(name, pattern) for pattern in patterns)


def places_that_need_a_line() -> set[str]:
    """Return the packages, the files beside them, and everything at the top of the project."""
    package = ROOT / "vibesweep"
    folders = {f"{path.parent.relative_to(ROOT)}/" for path in package.rglob("*/__init__.py")}
    files = {str(path.relative_to(ROOT)) for path in package.glob("[a-z]*.py")}
    tests = {f"{path.parent.relative_to(ROOT)}/" for path in (ROOT / "tests").glob("*/__init__.py")}
    top = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in ROOT.iterdir()
        if path.name != ".git" and not ignored_by_git(path.name)
    }
    return folders | files | tests | top - {"README.md", "shared/", "vibesweep/"}


def test_the_file_map_is_whole() -> None:
    table = read("README.md").partition("## File map")[2].partition("\n## ")[0]
    first_cells = re.findall(r"^\| (`.*?) \|", table, re.MULTILINE)
    mapped = [path for cell in first_cells for path in re.findall(r"`(.+?)`", cell)]
    assert len(mapped) == len(set(mapped))
    assert places_that_need_a_line() - set(mapped) == set()
    assert [path for path in mapped if not (ROOT / path).exists()] == []


def paths_in(page: str) -> set[str]:
    """Return the files and folders of the project that a page names between backticks."""
    quoted = re.findall(r"`([^`\n]+)`", without_blocks(page))
    tops = (
        "vibesweep|tests|examples|search_spaces|docs|cluster|corpus|models|training|sweep|delivery"
    )
    return {text for text in quoted if re.fullmatch(rf"(?:{tops})/[\w/.-]+", text)}


@pytest.mark.parametrize("page", [page for page in PAGES if page != HISTORY])
def test_paths_that_a_page_names_exist(page: str) -> None:
    roots = (ROOT, ROOT / "vibesweep")
    missing = [path for path in paths_in(page) if not any((r / path).exists() for r in roots)]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", read(page))
    here = (ROOT / page).parent
    broken = [target for target in targets if "://" not in target and not (here / target).exists()]
    assert broken == []


# Commands


def commands(page: str) -> list[str]:
    """Return what is typed after ``vibesweep``, in shell blocks and in the middle of the text."""
    shown = "".join(blocks(page, "sh")).splitlines()
    starts = ("vibesweep ", "python -m vibesweep ")
    quoted = re.findall(r"`([^`]+)`", without_blocks(page))
    lines = [*shown, *(code for code in quoted if code.startswith(starts))]
    return [
        typed
        for line in lines
        for typed in re.findall(r"(?<![\w/.~-])vibesweep ((?:--[\w-]+ )*\w[^'#&|]*)", line)
    ]


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_verbs_and_options_that_are_shown(page: str) -> None:
    group = cast(click.Group, get_command(app))
    verbs = group.commands
    for typed in commands(page):
        before = group.make_parser(click.Context(group))
        _, (verb, *words), _ = before.parse_args(shlex.split(typed))
        verbs[verb].make_parser(click.Context(verbs[verb])).parse_args(words)


def test_options_before_the_verb_are_seen() -> None:
    assert "--quiet run search_spaces/lr_opt.py" in " ".join(commands("docs/commands.md"))


@pytest.mark.parametrize("page", [page for page in PAGES if page != HISTORY])
def test_modules_that_a_page_runs_are_there(page: str) -> None:
    named = set(re.findall(r"python -m ((?:tests|examples|vibesweep)[\w.]*)", read(page)))
    paths = {name: ROOT / name.rstrip(".").replace(".", "/") for name in named}
    missing = [
        name
        for name, path in paths.items()
        if not path.with_suffix(".py").is_file() and not (path / "__main__.py").is_file()
    ]
    assert missing == []


@pytest.mark.parametrize("page", PAGES)
def test_extras_that_a_page_installs_are_declared(page: str) -> None:
    project = tomllib.loads(read("pyproject.toml"))["project"]
    lists = re.findall(r"pip install [^\n`]*?(?:vibesweep|\.)\[([\w,]+)\]", read(page))
    named = {name for listed in lists for name in listed.split(",")}
    assert named - set(project["optional-dependencies"]) == set()


# Python


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")])
def test_python_in_a_page_is_python_and_imports_what_is_there(page: str) -> None:
    for code in blocks(page, "python"):
        tree = ast.parse(code)
        tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        exec(ast.unparse(tree), {})


def test_commands_are_found_in_blocks_and_in_text() -> None:
    assert "run search_spaces/lr_opt.py" in commands("README.md")
    assert any(typed.startswith("show ") for typed in commands("docs/watching.md"))

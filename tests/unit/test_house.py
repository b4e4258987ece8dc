"""The rules of the house that a machine can hold: who imports whom, where Ray is, how it reads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.import_graph import (
    ROOT,
    circles,
    imported_modules,
    imports_of,
    module_name,
    modules,
    reachable,
    source_of,
    tree_of,
)

FOLDERS = (
    "version",
    "errors",
    "progress",
    "config",
    "storage",
    "cluster",
    "corpus",
    "models",
    "quality",
    "training",
    "sweep",
    "delivery",
    "doctor",
    "api",
    "cli",
    "__main__",
)
"""A folder may import from itself and from those before it."""

INNER_ORDERS = {
    "corpus": (
        "rejects",
        "recordings",
        "sound",
        "text",
        "ingest",
        "shards",
        "clip_encoder",
        "preprocess",
        "demo",
    ),
    "training": (
        "parameters",
        "workers",
        "turns",
        "data",
        "optim",
        "state",
        "compute",
        "precision",
        "memory",
        "peak",
        "tally",
        "row_shape",
        "rows",
        "seat",
        "pack",
        "loop",
        "validation",
        "fit",
        "sizes",
        "worker_context",
        "room",
        "trial_run",
        "hearing",
        "pace",
        "lanes",
        "estimate",
    ),
    "sweep": (
        "record",
        "search",
        "allowance",
        "resume",
        "checks",
        "prepare",
        "plan",
        "failed",
        "kept_checkpoints",
        "signals",
        "repeating",
        "waiting",
        "steering",
        "disk",
        "asking",
        "trackers",
        "trial",
        "tuning",
        "provenance",
        "ready",
        "rerun",
        "clone",
        "clone_inside",
        "repeat",
        "on_lanes",
        "run",
        "jobs",
    ),
}
"""The same inside three folders, for their own folders and files."""

RAY_IS_THE_SUBJECT = (
    "vibesweep.cluster",
    "vibesweep.corpus.preprocess",
    "vibesweep.training.lanes",
    "vibesweep.training.data.stream",
    "vibesweep.sweep",
)
RAY_INTERNALS = "vibesweep.cluster.ray_internals"
LIGHT = (
    "vibesweep",
    "vibesweep.api",
    "vibesweep.cli",
    "vibesweep.config",
    "vibesweep.errors",
    "vibesweep.sweep.record.record",
    "vibesweep.corpus.shards.manifest",
)
"""Modules that a command imports before it knows whether it needs a heavy library."""
HEAVY = ("torch", "ray", "transformers", "torchaudio", "pandas", "matplotlib")

LARGEST_DENSITY = 10.0
"""Syntax nodes a line of a function's body, over the package; ray.train.v2 has 5.6, optuna 7.7."""
LARGEST_DENSITY_OF_A_FILE = 11.5
LINES_OF_A_SMALL_FILE = 20
"""One formula makes a file with fewer lines dense."""
LINE_LENGTH = 100
LONGEST_WORD = 60
"""A line with a longer word, such as an address, may be longer."""

MODULES = sorted(modules())
OUTSIDE_MODELS = [name for name in MODULES if not name.startswith("vibesweep.models")]


def is_inside(module: str, *packages: str) -> bool:
    """Return whether a module is one of these packages or lies in one."""
    return any(module == package or module.startswith(package + ".") for package in packages)


def part_of(module: str, depth: int = 1) -> str:
    """Return the folder or file of the package, or of one of its folders, that a module is in."""
    parts = module.split(".")
    return parts[depth] if len(parts) > depth else ""


# Who imports whom


def test_imports_point_one_way() -> None:
    upward = []
    for module in MODULES:
        if module == "vibesweep":
            continue
        here = FOLDERS.index(part_of(module))
        later = FOLDERS[here + 1 :]
        for target in imported_modules(module):
            if part_of(target) in later:
                upward.append((module, target))
    assert upward == []


@pytest.mark.parametrize(("folder", "order"), INNER_ORDERS.items())
def test_imports_inside_a_folder_point_one_way(folder: str, order: tuple[str, ...]) -> None:
    package = f"vibesweep.{folder}"
    upward = []
    for module in MODULES:
        part = part_of(module, 2)
        if part_of(module) != folder or not part:
            continue
        later = order[order.index(part) + 1 :]
        for target in imported_modules(module):
            if is_inside(target, package) and part_of(target, 2) in later:
                upward.append((module, target))
    assert upward == []


def test_families_do_not_import_each_other() -> None:
    mel = {name for name in MODULES if is_inside(name, "vibesweep.models.mel")}
    vibevoice = {name for name in MODULES if is_inside(name, "vibesweep.models.vibevoice")}
    for family, other in ((mel, vibevoice), (vibevoice, mel)):
        assert set().union(*(imported_modules(name) for name in family)) & other == set()


def test_nothing_imports_in_a_circle() -> None:
    assert circles() == []


def test_delivery_sees_a_sweep_only_as_a_folder_on_disk() -> None:
    delivery = [name for name in MODULES if is_inside(name, "vibesweep.delivery")]
    seen = {target for name in delivery for target in imported_modules(name)}
    of_the_sweep = {name for name in seen if is_inside(name, "vibesweep.sweep")}
    assert of_the_sweep
    assert all(is_inside(name, "vibesweep.sweep.record") for name in of_the_sweep)


# Ray


def imports_ray(module: str) -> bool:
    """Return whether a module imports a name of Ray."""
    return any(is_inside(found.module, "ray") for found in imports_of(module))


def test_ray_is_imported_only_where_it_is_the_subject() -> None:
    elsewhere = [name for name in MODULES if not is_inside(name, *RAY_IS_THE_SUBJECT)]
    assert [name for name in elsewhere if imports_ray(name)] == []


def test_nothing_that_delivery_uses_imports_ray() -> None:
    delivery = [name for name in MODULES if is_inside(name, "vibesweep.delivery")]
    used = set(delivery).union(*(reachable(name) for name in delivery))
    assert sorted(name for name in used if imports_ray(name)) == []


def is_private(name: str) -> bool:
    """Return whether a dotted name of Ray has a private part."""
    private = any(part.startswith("_") and not part.startswith("__") for part in name.split("."))
    return is_inside(name, "ray") and (private or is_inside(name, "ray.core.generated"))


def dotted(node: ast.expr) -> str:
    """Return ``a.b.c`` for a name and its attributes, and nothing for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        owner = dotted(node.value)
        return f"{owner}.{node.attr}" if owner else ""
    return ""


def names_of_ray(module: str) -> Iterator[str]:
    """Return Ray's names in a module: imported, read as attributes, or written as strings."""
    for found in imports_of(module):
        yield f"{found.module}.{found.name}" if found.name else found.module
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Attribute):
            yield dotted(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value.split(":")[0]


def test_private_names_of_ray_come_through_one_door() -> None:
    elsewhere = [name for name in MODULES if name != RAY_INTERNALS]
    private = {
        (module, name) for module in elsewhere for name in names_of_ray(module) if is_private(name)
    }
    assert sorted(private) == []


def test_the_door_to_rays_private_names_is_used() -> None:
    assert any(is_private(name) for name in names_of_ray(RAY_INTERNALS))


# Model families


FAMILY_NAMES = ("mel", "mel-small", "vibevoice")


def asks_for_the_family(node: ast.AST) -> bool:
    """Return whether an expression forks on a family's name or compares an object's family."""
    if isinstance(node, ast.Compare):
        sides = [node.left, *node.comparators]
        equality = isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.Is | ast.IsNot)
        if equality and any(dotted(side).endswith("family") for side in sides):
            return True
    elif isinstance(node, ast.MatchValue):
        sides = [node.value]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        sides = node.args if node.func.attr == "startswith" else []
    else:
        return False
    return any(names_a_family(part) for side in sides for part in ast.walk(side))


def names_a_family(node: ast.AST) -> bool:
    """Return whether an expression is a family's name or the old question for a checkpoint."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.rstrip(":") in FAMILY_NAMES
    return isinstance(node, ast.expr) and dotted(node) == "checkpoint_address"


def test_nobody_outside_models_asks_which_family_it_has() -> None:
    asking = [
        (module, ast.unparse(node))
        for module in OUTSIDE_MODELS
        for node in ast.walk(tree_of(module))
        if asks_for_the_family(node)
    ]
    assert asking == []


def test_nobody_outside_models_imports_from_one_family() -> None:
    families = ("vibesweep.models.mel", "vibesweep.models.vibevoice")
    imported = [
        (module, found)
        for module in OUTSIDE_MODELS
        for found in imports_of(module)
        if is_inside(f"{found.module}.{found.name}", *families)
        or found.name == "checkpoint_address"
    ]
    assert imported == []


# What importing does


def test_light_modules_bring_in_no_heavy_library() -> None:
    code = f"import json, sys, {', '.join(LIGHT)}; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(run.stdout))
    assert loaded.intersection(HEAVY) == set()


IMPORT_EVERYTHING = """
import importlib, json, logging, signal, sys

def state():
    return signal.getsignal(signal.SIGINT), list(logging.getLogger().handlers)

names, extras = json.loads(sys.argv.pop())
sys.argv.append("--no-such-option")
sys.modules.update(dict.fromkeys(extras))  # as if they were not installed
before = state()
for name in ("vibesweep.delivery.synthesize", "vibesweep.models.mel.speech"):
    importlib.import_module(name)
unneeded = {"ray", "peft", "diffusers", "pandas"}.intersection(sys.modules)
assert not unneeded, f"speaking with mel brings in {unneeded}"
for name in names:
    importlib.import_module(name)
    if name.startswith("vibesweep.delivery") and "ray" in sys.modules:
        sys.exit(f"{name} brought in ray")
    if name == "vibesweep.corpus.preprocess.tasks" and "ray.data" in sys.modules:
        sys.exit("each process that encodes for mel brings in ray.data")
import ray, torch
assert state() == before, "a signal's handler or the logging has changed"
assert not torch.cuda.is_initialized(), "CUDA is up"
assert not ray.is_initialized(), "Ray is up"
"""


OF_EXTRAS = (
    "babel",
    "bitsandbytes",
    "boto3",
    "espeakng_loader",
    "matplotlib",
    "mlflow",
    "onnxruntime",
    "optuna_dashboard",
    "pocketsphinx",
    "pypinyin",
    "resemblyzer",
    "speechmos",
    "swift_f0",
    "tensorboard",
    "wandb",
    "wetext",
)
"""Packages of the extras, which nothing imports unless it is asked to."""


def test_every_file_of_the_package_is_in_its_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["vibesweep"]
    package = ROOT / "vibesweep"
    data = {path for pattern in patterns for path in package.glob(pattern)}
    compiled = set(package.rglob("__pycache__/*"))
    files = {path for path in package.rglob("*") if path.is_file()} - compiled
    code = {path for path in files if path.suffix == ".py"}
    assert files - code - data == set()
    assert [path for path in code if not (path.parent / "__init__.py").is_file()] == []


def test_importing_does_nothing_and_needs_no_extra() -> None:
    delivery_first = sorted(MODULES, key=lambda name: not is_inside(name, "vibesweep.delivery"))
    names = [name for name in delivery_first if name != "vibesweep.__main__"]
    command = [sys.executable, "-c", IMPORT_EVERYTHING, json.dumps([names, OF_EXTRAS])]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


# How the source reads


def outermost_functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Return functions and methods, but none that lie inside another."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        else:
            yield from outermost_functions(child)


def nodes_and_lines(module: str) -> tuple[int, int]:
    """Count the syntax nodes of all functions' statements, and the lines they stand on."""
    source = source_of(module).splitlines()
    nodes = 0
    lines: set[int] = set()
    for function in outermost_functions(tree_of(module)):
        has_docstring = ast.get_docstring(function, clean=False) is not None
        for statement in function.body[has_docstring:]:
            nodes += sum(1 for _ in ast.walk(statement))
            last = statement.end_lineno or statement.lineno
            lines.update(range(statement.lineno, last + 1))
    return nodes, sum(1 for line in lines if source[line - 1].strip())


def test_lines_of_code_are_not_dense() -> None:
    counts = [nodes_and_lines(module) for module in MODULES]
    nodes = sum(count for count, _ in counts)
    lines = sum(count for _, count in counts)
    assert nodes / lines <= LARGEST_DENSITY


def test_no_file_is_dense() -> None:
    dense = []
    for module in MODULES:
        nodes, lines = nodes_and_lines(module)
        if lines >= LINES_OF_A_SMALL_FILE and nodes > LARGEST_DENSITY_OF_A_FILE * lines:
            dense.append(f"{module}: {nodes / lines:.1f}")
    assert dense == []


def sources() -> list[Path]:
    """Return the files whose lines are held to a length."""
    folders = ("vibesweep", "tests", "examples", "search_spaces", ".ci")
    endings = (".py", ".sh", ".yaml", "")
    found = [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and path.suffix in endings
    ]
    return sorted([*found, ROOT / "cluster.yaml", ROOT / "pyproject.toml"])


def test_no_line_is_long() -> None:
    long = []
    for path in sources():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            longest_word = max(map(len, line.split()), default=0)
            if len(line) > LINE_LENGTH and longest_word < LONGEST_WORD:
                long.append(f"{path.relative_to(ROOT)}:{number}")
    assert long == []


# The rules themselves, on sources that break them


def test_a_circle_through_a_packages_init_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    import tests.import_graph as graph

    files = {
        "a": "from b import thing",
        "b": "from b.inner import thing",
        "b.inner": "def f():\n    from a import other\n    return other",
    }
    monkeypatch.setattr(
        graph,
        "modules",
        lambda: {name: Path("__init__.py" if name == "b" else "x.py") for name in files},
    )
    monkeypatch.setattr(graph, "tree_of", lambda name: ast.parse(files[name]))
    for cached in (graph.handed_on, graph.imported_modules):
        cached.cache_clear()
    try:
        assert graph.circles() == [["a", "b.inner"]]
    finally:
        for cached in (graph.handed_on, graph.imported_modules):
            cached.cache_clear()


@pytest.mark.parametrize(
    ("code", "forks"),
    [
        ("family == 'mel'", True),
        ("model.startswith('vibevoice:')", True),
        ("checkpoint_address(model) is not None", True),
        ("model.family is other", True),
        ("match name:\n    case 'mel': pass", True),
        ("address.family in IP_FAMILIES", False),
        ("name == 'hop'", False),
    ],
)
def test_a_fork_on_the_family_is_seen(code: str, forks: bool) -> None:
    nodes = ast.walk(ast.parse(code))
    assert any(asks_for_the_family(node) for node in nodes) is forks


@pytest.mark.parametrize(
    ("name", "private"),
    [
        ("ray.train.v2._internal.constants", True),
        ("ray.core.generated.autoscaler_pb2", True),
        ("ray._raylet", True),
        ("ray.train.v2.api", False),
        ("ray.__version__", False),
        ("torch._dynamo", False),
    ],
)
def test_a_private_name_of_ray_is_seen(name: str, private: bool) -> None:
    assert is_private(name) is private


def test_every_module_is_read() -> None:
    assert module_name(ROOT / "vibesweep" / "__init__.py") == "vibesweep"
    assert len(MODULES) > 80

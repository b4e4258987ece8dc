"""Each private name of Ray is where it was, with what the package relies on. Nothing is brought up.

When a test here fails after an upgrade of Ray, mend
vibesweep/cluster/ray_internals.py, the files that the failure names, and then the test.
"""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml  # type: ignore[import-untyped]

from vibesweep.cluster import session

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "vibesweep"
DOOR = PACKAGE / "cluster" / "ray_internals.py"
READ_IN = "Ray 2.60.0"


def imported_names() -> dict[str, str]:
    """Return the names that ray_internals.py imports from Ray, and their modules."""
    found: dict[str, str] = {}
    for node in ast.walk(ast.parse(DOOR.read_text())):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("ray."):
            found |= {alias.name: str(node.module) for alias in node.names}
    return found


NAMES = imported_names()


def users_of(name: str) -> str:
    """Return the files of the package that mention a name."""
    files = [path for path in sorted(PACKAGE.rglob("*.py")) if name in path.read_text()]
    return ", ".join(str(path.relative_to(ROOT)) for path in files) or "nobody"


def moved(what: str, name: str) -> str:
    """Say what moved and who uses it."""
    return f"{what} is gone in Ray {ray.__version__} (read in {READ_IN}); used by {users_of(name)}"


def from_ray(name: str) -> Any:
    """Import a private name from where ray_internals.py has it."""
    module = NAMES[name]
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError):
        pytest.fail(moved(f"{module}.{name}", name))


def check_parameters(function: Any, what: str, name: str, expected: list[str]) -> None:
    parameters = [one for one in inspect.signature(function).parameters if one != "self"]
    assert parameters == expected, moved(f"{what}({', '.join(expected)})", name)


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_where_it_was(name: str) -> None:
    assert from_ray(name) is not None


def test_a_name_that_moved_is_told_with_its_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(NAMES, "GcsClient", "ray._raylet.moved")
    told = r"ray\._raylet\.moved\.GcsClient is gone in Ray .*used by .*cluster/autoscaler\.py"
    with pytest.raises(pytest.fail.Exception, match=told):
        from_ray("GcsClient")


def test_what_is_loaded_when_asked_for_is_what_the_type_checker_sees() -> None:
    from vibesweep.cluster import ray_internals

    for name, module in ray_internals.LOADED_WHEN_ASKED.items():
        assert NAMES[name] == module
        assert getattr(ray_internals, name) is from_ray(name)
    assert set(NAMES) <= set(ray_internals.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = ray_internals.Nothing


def test_what_raylets_remark_can_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    deduplicator = from_ray("stdout_deduplicator")
    monkeypatch.setattr(deduplicator, "skip_re", session.RAYLETS_REMARKS)
    remark = "WARNING: 8 PYTHON worker processes have been started on node: 1a2b"
    other = "the node has no memory left"
    (printed,) = deduplicator.deduplicate({"lines": [remark, other], "pid": "raylet"})
    assert printed["lines"] == [other]


def test_importing_it_brings_in_neither_train_nor_the_autoscaler() -> None:
    code = (
        "import sys, vibesweep.cluster.ray_internals;"
        "print({'ray.train', 'ray.autoscaler.v2.instance_manager.config'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("find_bootstrap_address", ["temp_dir"]),
        ("find_gcs_addresses", []),
        ("get_dashboard_url", []),
    ],
)
def test_functions_take_what_they_took(name: str, parameters: list[str]) -> None:
    check_parameters(from_ray(name), name, name, parameters)


@pytest.mark.parametrize(
    ("name", "hook", "parameters"),
    [
        ("WorkerGroupCallback", "before_worker_group_start", ["worker_group_context"]),
        ("WorkerGroupCallback", "before_init_train_context", ["workers"]),
        (
            "ControllerCallback",
            "after_controller_state_update",
            ["previous_state", "current_state"],
        ),
        ("WorkerCallback", "after_init_train_context", []),
    ],
)
def test_train_has_the_hooks(name: str, hook: str, parameters: list[str]) -> None:
    function = getattr(from_ray(name), hook, None)
    assert function is not None, moved(f"{name}.{hook}", name)
    assert not inspect.iscoroutinefunction(function), f"{name}.{hook} is a coroutine now"
    check_parameters(function, f"{name}.{hook}", name, parameters)


@pytest.mark.parametrize(
    ("module", "error", "attribute"),
    [
        ("_internal.exceptions", "WorkerHealthCheckFailedError", "health_check_failure"),
        ("api.exceptions", "ControllerError", "controller_failure"),
        ("_internal.execution.controller.state", "ErroredState", "training_failed_error"),
        ("_internal.execution.controller.state", "ReschedulingState", "training_failed_error"),
    ],
)
def test_trains_failures_carry_their_cause(module: str, error: str, attribute: str) -> None:
    kind = getattr(import_module(f"ray.train.v2.{module}"), error, None)
    assert kind is not None, moved(error, attribute)
    cause = ValueError("cause")
    arguments = ["message", cause] if error.startswith("WorkerHealth") else [cause]
    assert getattr(kind(*arguments), attribute, None) is cause, moved(
        f"{error}.{attribute}", attribute
    )


def test_a_worker_is_told_that_its_host_is_drained() -> None:
    context = import_module("ray.train.v2._internal.execution.context")
    preemption = import_module("ray.train.v2._internal.execution.preemption")
    assert "preemption_context" in context.TrainContext.__annotations__, moved(
        "TrainContext.preemption_context", "get_train_context"
    )
    assert preemption.PreemptionContext().preemption_info is None


def test_train_passes_environment_variables_on_by_a_set_of_names() -> None:
    names = from_ray("ENV_VARS_TO_PROPAGATE")
    assert isinstance(names, set), moved("a set of names", "ENV_VARS_TO_PROPAGATE")
    for name in ("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"):
        assert name in names, moved(name, name)


def test_the_control_stores_client_tells_the_clusters_status() -> None:
    from_ray("GcsClient")
    # GcsClient hands on each name of this class once it is connected
    inner = getattr(import_module("ray._raylet"), "InnerGcsClient", None)
    assert hasattr(inner, "get_cluster_status"), moved("get_cluster_status", "get_cluster_status")


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("", ["autoscaling_state", "cluster_resource_state"]),
        ("cluster_resource_state.node_states", ["ray_node_type_name", "status"]),
        (
            "autoscaling_state",
            ["autoscaler_state_version", "infeasible_gang_resource_requests"],
        ),
        ("autoscaling_state.pending_instance_requests", ["ray_node_type_name", "count"]),
        ("autoscaling_state.pending_instances", ["ray_node_type_name"]),
        (
            "autoscaling_state.failed_instance_requests",
            ["ray_node_type_name", "reason", "failed_ts"],
        ),
    ],
)
def test_the_clusters_status_has_the_fields(path: str, fields: list[str]) -> None:
    message = from_ray("GetClusterStatusReply").DESCRIPTOR
    for step in path.split(".") if path else []:
        assert step in message.fields_by_name, moved(f"{message.name}.{step}", step)
        message = message.fields_by_name[step].message_type
    for field in fields:
        assert field in message.fields_by_name, moved(f"{message.name}.{field}", field)


def test_a_node_that_is_gone_has_its_status() -> None:
    assert hasattr(from_ray("NodeStatus"), "DEAD"), moved("NodeStatus.DEAD", "NodeStatus")


def test_the_autoscalers_file_is_read_as_it_stands() -> None:
    file = ROOT / "cluster.yaml"
    told = yaml.safe_load(file.read_text())
    config = from_ray("FileConfigReader")(str(file)).get_cached_autoscaling_config()
    assert config.get_head_node_type() == told["head_node_type"]
    assert config.get_max_num_worker_nodes() == told["max_workers"]
    types = config.get_node_type_configs()
    assert types.keys() == told["available_node_types"].keys()
    for name, node_type in types.items():
        if name != told["head_node_type"]:
            wanted = told["available_node_types"][name]
            assert node_type.max_worker_nodes == wanted["max_workers"]
            assert isinstance(node_type.resources, dict)


def test_the_autoscalers_programs_have_their_names() -> None:
    from vibesweep.cluster.ray_internals import AUTOSCALER_SCRIPTS

    folder = Path(ray.__file__).parent
    for script in AUTOSCALER_SCRIPTS:
        assert (folder / script).is_file(), moved(script, "AUTOSCALER_SCRIPTS")


def test_tunes_classes_have_the_attributes_that_their_subclasses_use() -> None:
    """These cannot be imported: vibesweep/sweep/search inherits them."""
    from ray.tune.search.optuna import OptunaSearch

    searcher = OptunaSearch({}, metric="loss", mode="min")
    for attribute in ("_ot_trials", "_ot_study", "_completed_trials"):
        assert hasattr(searcher, attribute), moved(f"OptunaSearch.{attribute}", attribute)

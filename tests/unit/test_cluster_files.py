"""Ray, Kubernetes and Slurm take the cluster files, which do what docs/cluster.md says of them.

Nothing is brought up here.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "clusters"
CLOUDS = {"aws": ROOT / "cluster.yaml", "gcp": FOLDER / "gcp.yaml"}
LAUNCHED = {**CLOUDS, "local": FOLDER / "on_premises.yaml"}
RAY_VERSION = re.findall(r"^ray==(.*)$", (ROOT / "requirements.lock").read_text(), re.MULTILINE)[0]


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def commands(config: dict[str, Any]) -> list[str]:
    """Every shell command of a Ray cluster file."""
    return [
        command for key, value in config.items() if key.endswith("_commands") for command in value
    ]


# Ray's cluster launcher


@pytest.mark.parametrize("provider", LAUNCHED)
def test_ray_takes_it(provider: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = read(LAUNCHED[provider])
    assert config["provider"]["type"] == provider
    validate_config(prepare_config(config))


@pytest.mark.parametrize("provider", CLOUDS)
def test_it_grows_from_nothing_and_shrinks_again(provider: str) -> None:
    config = read(CLOUDS[provider])
    workers = {
        name: kind
        for name, kind in config["available_node_types"].items()
        if name != config["head_node_type"]
    }
    assert len([name for name in workers if name.startswith("gpu")]) >= 2
    assert all(
        kind["min_workers"] == 0 and 0 < kind["max_workers"] <= config["max_workers"]
        for kind in workers.values()
    )
    assert 1 <= config["idle_timeout_minutes"] <= 30
    assert config["upscaling_speed"] >= max(kind["max_workers"] for kind in workers.values())


@pytest.mark.parametrize("provider", CLOUDS)
def test_a_host_with_a_gpu_says_which(provider: str) -> None:
    from ray.util import accelerators

    for name, kind in read(CLOUDS[provider])["available_node_types"].items():
        told = kind["resources"]
        if provider == "aws":  # Ray fills it in from EC2's table, as tests/cluster/test_aws.py sees
            assert told == {}
            continue
        gpus = [
            key.removeprefix("accelerator_type:")
            for key in told
            if key.startswith("accelerator_type:")
        ]
        assert told.get("GPU", 0) == len(gpus) == name.startswith("gpu")
        assert [gpu for gpu in gpus if gpu not in vars(accelerators).values()] == []


@pytest.mark.parametrize("name", ["kuberay_cluster.yaml"])
def test_a_pod_s_gpu_is_named_as_the_comment_says(name: str) -> None:
    from ray.autoscaler._private.kuberay.autoscaling_config import _get_custom_resources

    (shown,) = re.findall(
        r"^ *# rayStartParams: (\{.*\})$", (FOLDER / name).read_text(), re.MULTILINE
    )
    assert _get_custom_resources({}, yaml.safe_load(shown), "gpu-small") == {
        "accelerator_type:L4": 1
    }


@pytest.mark.parametrize("provider", LAUNCHED)
def test_a_sweep_on_the_head_joins_the_cluster_and_works_where_all_hosts_see(provider: str) -> None:
    assert [
        said
        for said in read(LAUNCHED[provider])["head_setup_commands"]
        if "export RAY_ADDRESS=auto VIBESWEEP_WORK=" in said
    ]


def test_on_aws_workers_are_spot_and_the_head_is_not() -> None:
    types = read(CLOUDS["aws"])["available_node_types"]
    markets = {
        name: kind["node_config"].get("InstanceMarketOptions", {}).get("MarketType")
        for name, kind in types.items()
    }
    assert markets == {"head": None, "cpu_spot": "spot", "gpu_small": "spot", "gpu_large": "spot"}


def test_on_aws_nothing_but_ssh_is_opened() -> None:
    assert read(CLOUDS["aws"])["provider"]["security_group"] == {"GroupName": "vibesweep"}


def test_on_aws_the_bucket_is_named_once() -> None:
    text, config = CLOUDS["aws"].read_text(), read(CLOUDS["aws"])
    assert text.count(config["metadata"]["bucket"]) == 1


def test_on_gcp_workers_are_spot_and_the_head_is_not() -> None:
    types = read(CLOUDS["gcp"])["available_node_types"]
    spot = {
        name: any(rule.get("preemptible") for rule in kind["node_config"].get("scheduling", []))
        for name, kind in types.items()
    }
    assert spot == {"head": False, "gpu_small": True, "gpu_large": True}


@pytest.mark.parametrize("provider", LAUNCHED)
def test_it_installs_what_the_lock_says(provider: str) -> None:
    config = read(LAUNCHED[provider])
    installs = [command for command in commands(config) if "pip install" in command]
    assert installs
    assert [command for command in installs if "requirements.lock" not in command] == []
    for local in config["file_mounts"].values():
        assert local.startswith("~") or (ROOT / local).exists(), local
    mounted = {
        remote.removeprefix("~/vibesweep/")
        for remote in config["file_mounts"]
        if remote.startswith("~/vibesweep/")
    }
    assert mounted >= {
        "vibesweep",
        "search_spaces",
        "pyproject.toml",
        "requirements.lock",
        "README.md",
        "LICENSE",
    }


@pytest.mark.parametrize("provider", LAUNCHED)
def test_it_is_closed(provider: str) -> None:
    """Token authentication on every host, and a dashboard that only a tunnel reaches."""
    config = read(LAUNCHED[provider])
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert any("RAY_AUTH_MODE=token" in command for command in config["setup_commands"])
    (head,) = [command for command in config["head_start_ray_commands"] if "ray start" in command]
    assert "--dashboard-host=127.0.0.1" in head
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in head


@pytest.mark.parametrize("provider", LAUNCHED)
def test_its_commands_are_shell(provider: str) -> None:
    for command in commands(read(LAUNCHED[provider])):
        subprocess.run(["bash", "-n", "-c", command], check=True)


# KubeRay: fields, their types and which are needed, as in ray-operator/apis/ray/v1 of its main
# branch after 1.6, read in November 2026

POD = {"template!": dict}
GROUP = {
    **POD,
    "rayStartParams": dict,
    "serviceType": str,
    "enableIngress": bool,
    "resources": dict,
    "labels": dict,
}
WORKERS = {
    "groupName!": str,
    "replicas": int,
    "minReplicas!": int,
    "maxReplicas!": int,
    "numOfHosts": int,
    "idleTimeoutSeconds": int,
}
CLUSTER = {
    "headGroupSpec!": GROUP,
    "workerGroupSpecs": [{**GROUP, **WORKERS}],
    "rayVersion": str,
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": {
        "version": ("v1", "v2"),
        "idleTimeoutSeconds": int,
        "upscalingMode": ("Default", "Aggressive", "Conservative"),
    },
    "authOptions": {"mode": ("disabled", "token"), "secretName": str},
}
JOB = {
    "entrypoint": str,
    "submissionMode": ("K8sJobMode", "HTTPMode", "InteractiveMode"),
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "activeDeadlineSeconds": int,
    "backoffLimit": int,
    "rayClusterSpec": CLUSTER,
}
KUBERAY = {"kuberay_cluster.yaml": ("RayCluster", CLUSTER), "kuberay_job.yaml": ("RayJob", JOB)}


def faults(found: Any, wanted: Any, where: str) -> Iterator[str]:
    """Say what is not as wanted.

    Args:
        found: a part of a file.
        wanted: a dict of fields (``!``: needed), a list of one kind, a choice, or a type.
        where: the part's path in the file.
    """
    if isinstance(wanted, dict):
        known = {name.rstrip("!"): kind for name, kind in wanted.items()}
        yield from (
            f"{where}.{name[:-1]} is missing"
            for name in wanted
            if name.endswith("!") and name[:-1] not in found
        )
        for name, value in found.items():
            yield from (
                faults(value, known[name], f"{where}.{name}")
                if name in known
                else [f"{where}.{name} is unknown"]
            )
    elif isinstance(wanted, list):
        for number, value in enumerate(found):
            yield from faults(value, wanted[0], f"{where}[{number}]")
    elif isinstance(wanted, tuple):
        yield from [] if found in wanted else [f"{where} is {found}"]
    elif type(found) is not wanted:
        yield f"{where} is a {type(found).__name__}"


def groups(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the head's group and the workers' groups of a KubeRay file."""
    spec = read(FOLDER / name)["spec"]
    cluster = spec.get("rayClusterSpec", spec)
    return cluster["headGroupSpec"], cluster["workerGroupSpecs"]


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_takes_it(name: str) -> None:
    document, (kind, schema) = read(FOLDER / name), KUBERAY[name]
    assert (document["apiVersion"], document["kind"]) == ("ray.io/v1", kind)
    assert list(faults(document["spec"], schema, "spec")) == []


def test_the_check_of_kuberay_files_finds_faults() -> None:
    spec = read(FOLDER / "kuberay_cluster.yaml")["spec"]
    del spec["headGroupSpec"]["template"]
    spec["workerGroupSpecs"][0]["minReplicas"] = "0"
    spec["autoscalerOptions"] = {"version": "v3", "idleTimeout": 60}
    assert list(faults(spec, CLUSTER, "spec")) == [
        "spec.autoscalerOptions.version is v3",
        "spec.autoscalerOptions.idleTimeout is unknown",
        "spec.headGroupSpec.template is missing",
        "spec.workerGroupSpecs[0].minReplicas is a str",
    ]


@pytest.mark.parametrize("name", KUBERAY)
def test_kuberay_pods_hold_what_they_ask_for(name: str) -> None:
    head, workers = groups(name)
    for group in (head, *workers):
        (container,) = group["template"]["spec"]["containers"]
        held = container["resources"]
        # Kubernetes wants both equal for GPUs; Ray counts on the limits of the others
        assert held["requests"] == held["limits"]
        assert ("nvidia.com/gpu" in held["limits"]) == (group is not head)
        assert [variable["name"] for variable in container["env"]] == ["VIBESWEEP_WORK"]
    assert all(
        group["minReplicas"] <= group["replicas"] <= group["maxReplicas"] for group in workers
    )


def test_the_kuberay_cluster_grows_from_nothing_and_the_job_ends() -> None:
    spec = read(FOLDER / "kuberay_cluster.yaml")["spec"]
    head, workers = groups("kuberay_cluster.yaml")
    assert spec["enableInTreeAutoscaling"]
    assert spec["autoscalerOptions"]["idleTimeoutSeconds"] >= 60
    assert [group["minReplicas"] for group in workers] == [0, 0]
    assert all(group["template"]["spec"]["restartPolicy"] == "Never" for group in (head, *workers))
    job = read(FOLDER / "kuberay_job.yaml")["spec"]
    assert job["shutdownAfterJobFinishes"]
    assert job["entrypoint"].startswith("python -m vibesweep run search_spaces/")
    assert (ROOT / job["entrypoint"].split()[4]).is_file()
    assert "$" not in job["entrypoint"], (
        "it is expanded in a pod that has none of the cluster's variables"
    )


@pytest.mark.parametrize("name", KUBERAY)
def test_ray_is_of_one_version_everywhere(name: str) -> None:
    spec = read(FOLDER / name)["spec"]
    assert spec.get("rayClusterSpec", spec)["rayVersion"] == RAY_VERSION
    assert f"FROM rayproject/ray:{RAY_VERSION}-py311\n" in (FOLDER / "Dockerfile").read_text()


# The folder


def test_the_slurm_script_is_shell() -> None:
    subprocess.run(["bash", "-n", str(FOLDER / "slurm.sh")], check=True)


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_the_slurm_script_is_sound() -> None:
    subprocess.run(["shellcheck", str(FOLDER / "slurm.sh")], check=True)


def test_the_folder_s_page_names_every_file() -> None:
    page = (FOLDER / "README.md").read_text()
    assert [
        path.name
        for path in FOLDER.iterdir()
        if path.is_file() and path.name != "README.md" and f"({path.name})" not in page
    ] == []

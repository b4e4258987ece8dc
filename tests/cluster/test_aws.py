"""`ray up cluster.yaml` by Ray's own code, against moto's EC2, IAM and S3.

What Amazon would be asked for, and what the head would do.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import boto3
import pytest
import yaml  # type: ignore[import-untyped]
from botocore.exceptions import ClientError  # type: ignore[import-untyped]
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count

from tests.cluster.hosts import Hosts

ROOT = Path(__file__).parents[2]
CLUSTER = yaml.safe_load((ROOT / "cluster.yaml").read_text())
REGION, BUCKET = CLUSTER["provider"]["region"], CLUSTER["metadata"]["bucket"]


class Up(NamedTuple):
    """A cluster that is up: its configuration as Ray resolved it, and the hosts it set up."""

    config: dict[str, Any]
    hosts: Hosts


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Run `ray up` in an account that aws_account.py has set up."""
    folder = tmp_path_factory.mktemp("aws")
    hosts = Hosts(folder)
    token = folder / "home" / ".ray" / "auth_token"
    token.parent.mkdir(parents=True)
    token.write_text("a" * 32)
    with pytest.MonkeyPatch.context() as patch, mock_aws():
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("HOSTS", str(hosts.folder))
        patch.setenv("PATH", f"{hosts.local}:{os.environ['PATH']}")
        patch.delenv("AWS_ENDPOINT_URL", raising=False)
        patch.chdir(ROOT)
        set_up_account(patch)
        from ray.autoscaler._private.commands import create_or_update_cluster

        config = create_or_update_cluster(
            "cluster.yaml",
            override_min_workers=None,
            override_max_workers=None,
            no_restart=False,
            restart_only=False,
            yes=True,
            no_config_cache=True,
        )
        yield Up(config, hosts)


def aws_account() -> Any:
    """Import the example as a module."""
    spec = importlib.util.spec_from_file_location(
        "aws_account", ROOT / "examples" / "clusters" / "aws_account.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def set_up_account(patch: pytest.MonkeyPatch) -> None:
    module = aws_account()
    patch.setattr(sys, "argv", ["aws_account.py"])
    iam = boto3.client("iam")
    # Runs that broke off, after the first step and after the second
    for name in ("vibesweep-worker", "vibesweep-head"):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=module.policy([module.EC2_TRUSTS]))
    iam.create_instance_profile(InstanceProfileName="vibesweep-head")
    module.main()
    module.main()  # another time changes nothing
    for name in ("vibesweep-head", "vibesweep-worker"):
        profile = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        assert [role["RoleName"] for role in profile["Roles"]] == [name]


def test_an_account_without_credentials_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(sys, "argv", ["aws_account.py"])
    with pytest.raises(SystemExit, match=r"^Unable to locate credentials; see `aws configure`"):
        aws_account().main()


def test_a_bucket_s_name_that_cannot_be_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "cluster.yaml"
    file.write_text(yaml.safe_dump(CLUSTER | {"metadata": {"bucket": "My bucket"}}))
    monkeypatch.setattr(sys, "argv", ["aws_account.py", str(file)])
    with (
        mock_aws(),
        pytest.raises(SystemExit, match=r'^[^\n]*Invalid bucket name "My bucket"[^\n]*$'),
    ):
        aws_account().main()


def instances(kind: str) -> list[dict[str, Any]]:
    filters = [
        {"Name": "tag:ray-node-type", "Values": [kind]},
        {"Name": "instance-state-name", "Values": ["pending", "running"]},
    ]
    found = boto3.client("ec2", region_name=REGION).describe_instances(Filters=filters)[
        "Reservations"
    ]
    return [instance for reservation in found for instance in reservation["Instances"]]


def tags(instance: dict[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance["Tags"]}


def gpus(instance: dict[str, Any]) -> int:
    (kind,) = boto3.client("ec2", region_name=REGION).describe_instance_types(
        InstanceTypes=[instance["InstanceType"]]
    )["InstanceTypes"]
    return sum(gpu["Count"] for gpu in kind.get("GpuInfo", {}).get("Gpus", []))


def test_the_head_is_on_demand_and_has_no_gpu(cluster: Up) -> None:
    (head,) = instances("head")
    assert head.get("InstanceLifecycle") is None
    assert gpus(head) == 0
    assert head["ImageId"].startswith("resolve:ssm:/aws/service/canonical/ubuntu/server/24.04/")
    assert head["IamInstanceProfile"]["Arn"].endswith("/vibesweep-head")
    assert head["KeyName"] == f"ray-autoscaler_{REGION}"
    assert (Path.home() / ".ssh" / f"{head['KeyName']}.pem").stat().st_mode & 0o077 == 0
    assert tags(head) | {
        "ray-cluster-name": "vibesweep",
        "ray-user-node-type": "head",
        "ray-node-status": "up-to-date",
    } == tags(head)


def test_nobody_gets_in_but_by_ssh(cluster: Up) -> None:
    (head,) = instances("head")
    (named,) = head["SecurityGroups"]
    (group,) = boto3.client("ec2", region_name=REGION).describe_security_groups(
        GroupIds=[named["GroupId"]]
    )["SecurityGroups"]
    assert group["GroupName"] == "vibesweep"
    from_anywhere = [
        rule
        for rule in group["IpPermissions"]
        if rule["IpRanges"] or rule["Ipv6Ranges"] or rule["PrefixListIds"]
    ]
    assert [(rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) for rule in from_anywhere] == [
        ("tcp", 22, 22)
    ]
    inside = [
        pair["GroupId"]
        for rule in group["IpPermissions"]
        if rule not in from_anywhere
        for pair in rule["UserIdGroupPairs"]
    ]
    assert inside == [named["GroupId"]]


def test_an_idle_cluster_is_its_head(cluster: Up) -> None:
    assert instances("worker") == []


def test_ray_fills_in_what_each_type_holds(cluster: Up) -> None:
    found = {
        name: kind["resources"] for name, kind in cluster.config["available_node_types"].items()
    }
    held = {
        name: {key: value for key, value in resources.items() if key != "memory"}
        for name, resources in found.items()
    }
    assert held == {
        "head": {"CPU": 4},
        "cpu_spot": {"CPU": 16},
        "gpu_small": {"CPU": 8, "GPU": 1, "accelerator_type:L4": 1},
        "gpu_large": {"CPU": 16, "GPU": 1, "accelerator_type:H100": 1},
    }


@pytest.mark.parametrize(
    ("lanes", "one", "chosen"),
    [
        (1, {"CPU": 1, "GPU": 1}, {"gpu_small": 1}),
        (8, {"CPU": 1, "GPU": 1}, {"gpu_small": 8}),
        (8, {"CPU": 8, "GPU": 1}, {"gpu_small": 8}),
        (10, {"CPU": 8, "GPU": 1}, {"gpu_small": 8, "gpu_large": 2}),
        (4, {"CPU": 9, "GPU": 1}, {"gpu_large": 4}),
        (4, {"CPU": 16, "GPU": 1}, {"gpu_large": 4}),
        (1, {"CPU": 17, "GPU": 1}, {}),
        (32, {"CPU": 1}, {"cpu_spot": 2}),
        (64, {"CPU": 1}, {"cpu_spot": 4}),
    ],
)
def test_lanes_choose_their_hosts(
    cluster: Up, lanes: int, one: dict[str, float], chosen: dict[str, int]
) -> None:
    from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
    from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
    from ray.autoscaler.v2.utils import ResourceRequestUtil

    config = AutoscalingConfig(
        {key: value for key, value in cluster.config.items() if key != "head_node"},
        skip_content_hash=True,
    )
    wanted = ResourceRequestUtil.group_by_count([ResourceRequestUtil.make(one)] * lanes)
    types = {name: kind for name, kind in config.get_node_type_configs().items() if name != "head"}
    asked = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=types,
        max_num_nodes=13,
        resource_requests=wanted,
    )
    launches = ResourceDemandScheduler(None).schedule(asked).to_launch
    assert {launch.instance_type: launch.count for launch in launches} == chosen


def test_the_head_is_set_up(cluster: Up) -> None:
    (head,) = instances("head")
    home = cluster.hosts.home(head["PublicIpAddress"])
    assert cluster.hosts.calls(head["PublicIpAddress"]) == [
        f"uv venv --seed --python 3.11 {home}/venv",
        "pip install -q -e .[mel] in ~/vibesweep under requirements.lock",
        f"pip install -q -c {home}/vibesweep/requirements.lock boto3 in ~ under nothing",
        "ray stop with token auth token, head here",
        "ray start --head --port=6379 --object-manager-port=8076"
        " --autoscaling-config=~/ray_bootstrap_config.yaml --dashboard-host=127.0.0.1"
        " with token auth token, head here",
    ]
    assert (home / ".ray" / "auth_token").read_text() == "a" * 32
    for needed in (
        "vibesweep/cli/application.py",
        "search_spaces/lr_opt.py",
        "pyproject.toml",
        "requirements.lock",
        "README.md",
        "LICENSE",
    ):
        assert (home / "vibesweep" / needed).read_bytes() == (ROOT / needed).read_bytes()


def test_a_command_on_the_head_finds_the_cluster_and_the_bucket(cluster: Up) -> None:
    (head,) = instances("head")
    command = [
        "ssh",
        f"ubuntu@{head['PublicIpAddress']}",
        "bash",
        "--login",
        "-c",
        "-i",
        "'source ~/.bashrc; echo $RAY_ADDRESS $VIBESWEEP_WORK'",
    ]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert said.split() == ["auto", f"s3://{BUCKET}"]


def launcher(cluster: Up, role: str, folder: Path) -> Any:
    """Make what launches workers on the head, with the rights of a role."""
    from ray.autoscaler._private.aws.node_provider import AWSNodeProvider
    from ray.autoscaler.v2.instance_manager.config import FileConfigReader
    from ray.autoscaler.v2.instance_manager.node_provider import NodeProviderAdapter

    (head,) = instances("head")
    bootstrap = folder / "ray_bootstrap_config.yaml"
    config = yaml.safe_load(
        (cluster.hosts.home(head["PublicIpAddress"]) / bootstrap.name).read_text()
    )
    key = Path.home() / "ray_bootstrap_key.pem"
    key.write_bytes((cluster.hosts.home(head["PublicIpAddress"]) / key.name).read_bytes())
    bootstrap.write_text(yaml.safe_dump(config))
    provider = AWSNodeProvider(
        config["provider"] | {"aws_credentials": credentials(role)}, config["cluster_name"]
    )
    return NodeProviderAdapter(provider, FileConfigReader(str(bootstrap)))


def credentials(role: str) -> dict[str, str]:
    arn = boto3.client("iam").get_role(RoleName=role)["Role"]["Arn"]
    lent = boto3.client("sts", region_name=REGION).assume_role(RoleArn=arn, RoleSessionName="test")[
        "Credentials"
    ]
    return {
        "aws_access_key_id": lent["AccessKeyId"],
        "aws_secret_access_key": lent["SecretAccessKey"],
        "aws_session_token": lent["SessionToken"],
    }


@set_initial_no_auth_action_count(0)  # moto lets nobody do what no policy allows
def launch(launching: Any, shape: dict[str, int]) -> str:
    """Launch, and wait until all is there or refused; returns the refusal."""
    launching.launch(shape, "request")
    ends = time.monotonic() + 10
    while time.monotonic() < ends:
        if errors := launching.poll_errors():
            return str(errors[0].__cause__)
        if len(workers_of(launching)) == sum(shape.values()):
            return ""
    raise TimeoutError(shape)


@set_initial_no_auth_action_count(0)
def end(launching: Any) -> None:
    launching.v1_provider.terminate_nodes(workers_of(launching))


def workers_of(launching: Any) -> list[str]:
    found: list[str] = launching.v1_provider.non_terminated_nodes({"ray-node-type": "worker"})
    return found


def test_the_head_launches_spot_workers_and_ends_them(cluster: Up, tmp_path: Path) -> None:
    launching = launcher(cluster, "vibesweep-head", tmp_path)
    # One each: moto goes by MinCount, where EC2 goes up to MaxCount
    shape = {"gpu_small": 1, "gpu_large": 1, "cpu_spot": 1}

    assert launch(launching, shape) == ""
    by_type = {tags(worker)["ray-user-node-type"]: worker for worker in instances("worker")}
    assert set(by_type) == set(shape)
    for name, worker in by_type.items():
        assert worker["InstanceLifecycle"] == "spot"
        assert (
            worker["InstanceType"]
            == CLUSTER["available_node_types"][name]["node_config"]["InstanceType"]
        )
        assert worker["IamInstanceProfile"]["Arn"].endswith("/vibesweep-worker")
        assert worker["SecurityGroups"] == instances("head")[0]["SecurityGroups"]
    assert {name: gpus(worker) for name, worker in by_type.items()} == {
        "gpu_small": 1,
        "gpu_large": 1,
        "cpu_spot": 0,
    }
    assert "/deeplearning/" in by_type["gpu_small"]["ImageId"]

    end(launching)
    assert instances("worker") == []


def test_a_worker_may_not_launch(cluster: Up, tmp_path: Path) -> None:
    launching = launcher(cluster, "vibesweep-worker", tmp_path)
    launching.v1_provider.non_terminated_nodes = lambda tag_filters: []  # it may not even look
    assert "not authorized to perform: ec2:RunInstances" in launch(launching, {"gpu_large": 1})
    assert instances("worker") == []


def test_a_worker_may_use_the_bucket_alone(cluster: Up) -> None:
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="somebody-elses")
    s3 = boto3.client("s3", region_name=REGION, **credentials("vibesweep-worker"))

    @set_initial_no_auth_action_count(0)
    def tries() -> None:
        s3.put_object(Bucket=BUCKET, Key="shards/a", Body=b"1")
        assert s3.get_object(Bucket=BUCKET, Key="shards/a")["Body"].read() == b"1"
        assert [found["Key"] for found in s3.list_objects_v2(Bucket=BUCKET)["Contents"]] == [
            "shards/a"
        ]
        s3.delete_object(Bucket=BUCKET, Key="shards/a")
        with pytest.raises(ClientError, match="AccessDenied"):
            s3.put_object(Bucket="somebody-elses", Key="a", Body=b"1")

    tries()


def test_the_bucket_is_closed_to_the_public(cluster: Up) -> None:
    s3 = boto3.client("s3", region_name=REGION)
    assert s3.get_bucket_location(Bucket=BUCKET)["LocationConstraint"] == REGION
    assert all(s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"].values())

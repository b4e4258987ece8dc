"""What cluster.yaml needs of an AWS account, once: the bucket, and what the head and the workers may do.

    python examples/clusters/aws_account.py [cluster.yaml]

The head may launch and end instances, let them use the workers' role, look up images, and use the bucket. A worker may use the bucket
and nothing else. Run again after a change: what is there is kept, and the policies are written anew.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import yaml  # type: ignore[import-untyped]
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

CLUSTER_FILE = Path(__file__).parents[2] / "cluster.yaml"
HEAD, WORKER = "vibesweep-head", "vibesweep-worker"
EC2_TRUSTS = {
    "Effect": "Allow",
    "Principal": {"Service": "ec2.amazonaws.com"},
    "Action": "sts:AssumeRole",
}


def main() -> None:
    """Set the account up for the cluster file that the command line names, or the project's own."""
    config = yaml.safe_load(
        Path(sys.argv[1] if len(sys.argv) > 1 else CLUSTER_FILE).read_text(encoding="utf-8")
    )
    region, bucket = config["provider"]["region"], config["metadata"]["bucket"]
    try:
        make_bucket(bucket, region)
        worker_role = make_profile(WORKER, [*uses_bucket(bucket)])
        make_profile(HEAD, [*uses_bucket(bucket), *launches_workers(worker_role)])
    except ClientError as error:
        sys.exit(f"{error.operation_name}: {error.response['Error']['Message']}")
    except BotoCoreError as error:
        said = " ".join(str(error).split())
        sys.exit(
            f"{said}; see `aws configure` for credentials and docs/cluster.md for what they must allow"
        )
    print(f"bucket {bucket} in {region}; instance profiles {HEAD} and {WORKER}")


def make_bucket(bucket: str, region: str) -> None:
    """Make the bucket in the cluster's region, closed to the public, unless it is yours already."""
    s3 = boto3.client("s3", region_name=region)
    # us-east-1 is what S3 takes by itself, and it refuses to be told
    where: Any = (
        {}
        if region == "us-east-1"
        else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(Bucket=bucket, **where)
    closed = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(closed, True)
    )


def make_profile(name: str, statements: list[dict[str, Any]]) -> str:
    """Make a role and an instance profile of one name, which may do what the statements say; returns the role's ARN."""
    iam = boto3.client("iam")
    there = iam.exceptions.EntityAlreadyExistsException
    with suppress(there):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy([EC2_TRUSTS]))
    with suppress(there):
        iam.create_instance_profile(InstanceProfileName=name)
    with suppress(iam.exceptions.LimitExceededException):  # a profile holds one role, and has it
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.put_role_policy(RoleName=name, PolicyName="vibesweep", PolicyDocument=policy(statements))
    arn: str = iam.get_role(RoleName=name)["Role"]["Arn"]
    return arn


def uses_bucket(bucket: str) -> list[dict[str, Any]]:
    """Read, write and remove what lies in the bucket."""
    objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    return [
        allow(["s3:ListBucket", "s3:GetBucketLocation"], f"arn:aws:s3:::{bucket}"),
        allow(objects, f"arn:aws:s3:::{bucket}/*"),
    ]


def launches_workers(worker_role: str) -> list[dict[str, Any]]:
    """What Ray's autoscaler does on EC2."""
    return [
        allow(
            ["ec2:RunInstances", "ec2:TerminateInstances", "ec2:CreateTags", "ec2:Describe*"], "*"
        ),
        allow(["iam:PassRole"], worker_role),
        allow(
            ["ssm:GetParameters"], "arn:aws:ssm:*:*:parameter/aws/service/*"
        ),  # the images' names
        # an account's first spot instance needs a role of Amazon's own
        allow(
            ["iam:CreateServiceLinkedRole"],
            "arn:aws:iam::*:role/aws-service-role/spot.amazonaws.com/*",
        ),
    ]


def allow(actions: list[str], resource: str) -> dict[str, Any]:
    """One statement of a policy."""
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def policy(statements: list[dict[str, Any]]) -> str:
    """A policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


if __name__ == "__main__":
    main()

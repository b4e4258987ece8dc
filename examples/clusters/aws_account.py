"""Set an AWS account up for cluster.yaml, once: the bucket, and what head and workers may do.

    python examples/clusters/aws_account.py [cluster.yaml]

The head may launch and end instances, let them use the workers' role, look up images, and use the
bucket. A worker may use the bucket and nothing else. The program may be run again after a change:
what exists is kept, and the policies are written again.
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
HEAD = "vibesweep-head"
WORKER = "vibesweep-worker"
EC2_TRUSTS = {
    "Effect": "Allow",
    "Principal": {"Service": "ec2.amazonaws.com"},
    "Action": "sts:AssumeRole",
}
SEE_ALSO = "see `aws configure` for credentials and docs/cluster.md for what they must allow"

Statement = dict[str, Any]


def main() -> None:
    """Set the account up for the cluster file that the command line names, or the project's own."""
    file = Path(sys.argv[1]) if len(sys.argv) > 1 else CLUSTER_FILE
    config = yaml.safe_load(file.read_text(encoding="utf-8"))
    region = config["provider"]["region"]
    bucket = config["metadata"]["bucket"]
    try:
        make_bucket(bucket, region)
        worker_role = make_profile(WORKER, uses_bucket(bucket))
        make_profile(HEAD, [*uses_bucket(bucket), *launches_workers(worker_role)])
    except ClientError as error:
        sys.exit(f"{error.operation_name}: {error.response['Error']['Message']}")
    except BotoCoreError as error:
        message = " ".join(str(error).split())
        sys.exit(f"{message}; {SEE_ALSO}")
    print(f"bucket {bucket} in {region}; instance profiles {HEAD} and {WORKER}")


def make_bucket(bucket: str, region: str) -> None:
    """Make the bucket in the cluster's region, closed to the public, unless it is yours already."""
    s3 = boto3.client("s3", region_name=region)
    options: dict[str, Any] = {"Bucket": bucket}
    if region != "us-east-1":  # S3's default, which it refuses as a constraint
        options["CreateBucketConfiguration"] = {"LocationConstraint": region}
    with suppress(s3.exceptions.BucketAlreadyOwnedByYou):
        s3.create_bucket(**options)
    closed = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
    s3.put_public_access_block(
        Bucket=bucket, PublicAccessBlockConfiguration=dict.fromkeys(closed, True)
    )


def make_profile(name: str, statements: list[Statement]) -> str:
    """Make a role and an instance profile of one name with these rights; return the role's ARN."""
    iam = boto3.client("iam")
    exists = iam.exceptions.EntityAlreadyExistsException
    with suppress(exists):
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy([EC2_TRUSTS]))
    with suppress(exists):
        iam.create_instance_profile(InstanceProfileName=name)
    with suppress(iam.exceptions.LimitExceededException):  # a profile holds one role, and has it
        iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.put_role_policy(RoleName=name, PolicyName="vibesweep", PolicyDocument=policy(statements))
    arn: str = iam.get_role(RoleName=name)["Role"]["Arn"]
    return arn


def uses_bucket(bucket: str) -> list[Statement]:
    """Return the right to read, write and remove what is in the bucket."""
    objects = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    return [
        allow(["s3:ListBucket", "s3:GetBucketLocation"], f"arn:aws:s3:::{bucket}"),
        allow(objects, f"arn:aws:s3:::{bucket}/*"),
    ]


def launches_workers(worker_role: str) -> list[Statement]:
    """Return the rights that Ray's autoscaler needs on EC2."""
    instances = ["ec2:RunInstances", "ec2:TerminateInstances", "ec2:CreateTags", "ec2:Describe*"]
    image_names = "arn:aws:ssm:*:*:parameter/aws/service/*"
    # An account's first spot instance needs a role of Amazon's own.
    spot_role = "arn:aws:iam::*:role/aws-service-role/spot.amazonaws.com/*"
    return [
        allow(instances, "*"),
        allow(["iam:PassRole"], worker_role),
        allow(["ssm:GetParameters"], image_names),
        allow(["iam:CreateServiceLinkedRole"], spot_role),
    ]


def allow(actions: list[str], resource: str) -> Statement:
    """Return one statement of a policy."""
    return {"Effect": "Allow", "Action": actions, "Resource": resource}


def policy(statements: list[Statement]) -> str:
    """Return a policy document."""
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


if __name__ == "__main__":
    main()

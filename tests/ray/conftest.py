"""One local cluster for most tests with ray, and a store that it can reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Ray on two cores, with the dashboard, whose State API Ray Train needs."""
    import ray

    # "local": without it Ray would look for the cluster that somebody else, or a dead run, left in its temporary folder
    # Metrics each second and not each ten, for the tests that read them
    quickly = {"metrics_report_interval_ms": 1_000}
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=True,
        log_to_driver=False,
        _system_config=quickly,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket of an S3 server on this machine. Its address says where the server is; the credentials are anybody's."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        known = {
            "aws_access_key_id": "anybody",
            "aws_secret_access_key": "anything",
            "region_name": "us-east-1",
        }
        boto3.client("s3", endpoint_url=f"http://{host}:{port}", **known).create_bucket(
            Bucket="speech"
        )
        yield f"s3://anybody:anything@speech/{{}}?endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    finally:
        server.stop()

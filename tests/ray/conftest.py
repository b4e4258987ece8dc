"""One local cluster for most tests with ray, and a store that it can reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[None]:
    """Run Ray on two cores, with the dashboard, whose State API Ray Train needs."""
    import ray

    # "local": otherwise Ray looks for a cluster that somebody else, or a dead run, left behind
    # Metrics every second instead of every ten, for the tests that read them
    every_second = {"metrics_report_interval_ms": 1_000}
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=True,
        log_to_driver=False,
        _system_config=every_second,
    )
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """Make a bucket on an S3 server of this machine; yield its address, with a ``{}`` for a key."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        client = boto3.client(
            "s3",
            endpoint_url=f"http://{host}:{port}",
            aws_access_key_id="anybody",
            aws_secret_access_key="anything",
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="speech")
        query = f"endpoint_override={host}:{port}&scheme=http&region=us-east-1"
        yield f"s3://anybody:anything@speech/{{}}?{query}"
    finally:
        server.stop()

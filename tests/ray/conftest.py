"""A store that the tests' cluster can reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import STORE_KEYS


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
            aws_access_key_id=STORE_KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=STORE_KEYS["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )
        client.create_bucket(Bucket="speech")
        query = f"endpoint_override={host}:{port}&scheme=http&region=us-east-1"
        yield f"s3://speech/{{}}?{query}"
    finally:
        server.stop()

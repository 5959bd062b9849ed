"""A local S3 server in a separate process that verifies request signatures."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3

from ranking.storage.uris import open_root
from tools.ports import free_ports

BUCKET = "rra"
SET_UP_CALLS = 3
"""Number of initial calls that the server accepts unsigned. After these it checks keys, signatures and policies."""

ALL_ACTIONS = ("s3:*", "iam:*")


@contextmanager
def running_s3(log: Path) -> Iterator[dict[str, str]]:
    """Run the server with one user and one bucket, and yield the AWS_* variables of that user.

    Args:
        log: File for the server's output.
    """
    (port,) = free_ports(1)
    endpoint = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "eu-north-1"}
    with log.open("w") as stream:
        server = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            env={**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": str(SET_UP_CALLS)},
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for_port(port, server, log)
        variables = {**endpoint, **new_user(endpoint)}
        client_of(variables).create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": variables["AWS_REGION"]}
        )
        yield variables
    finally:
        open_root.cache_clear()  # drops cached clients, because the next server has a bucket of the same name
        server.terminate()
        server.wait(timeout=30)


def client_of(variables: Mapping[str, str], service: str = "s3") -> Any:
    """Return a boto3 client for the server, with dummy keys if the variables contain none."""
    return boto3.client(
        service,
        region_name=variables["AWS_REGION"],
        endpoint_url=variables["AWS_ENDPOINT_URL"],
        aws_access_key_id=variables.get("AWS_ACCESS_KEY_ID", "set-up"),
        aws_secret_access_key=variables.get("AWS_SECRET_ACCESS_KEY", "set-up"),
    )


def new_user(
    variables: Mapping[str, str], name: str = "distiller", actions: Sequence[str] = ALL_ACTIONS
) -> dict[str, str]:
    """Create a user with these permissions, in `SET_UP_CALLS` calls, and return its keys as AWS_* variables."""
    iam = client_of(variables, "iam")
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": "*"}]}
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="allowed", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def _wait_for_port(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(log.read_text())

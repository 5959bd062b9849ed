"""Check that an S3 bucket is accessible and explain failures within seconds.

pyarrow transfers the data, but its errors do not distinguish well between a missing bucket, wrong credentials and a
wrong endpoint, and it retries an unresponsive service for minutes. Therefore the first request goes through boto3.
"""

from __future__ import annotations

import functools
import os
import re
import time
from typing import Any

SECONDS = 5
"""Connect timeout and read timeout of the check, in seconds."""

_CREDENTIALS = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary keys, AWS_SESSION_TOKEN"
_NEEDED = "they need s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"
_DENIED = re.compile(r"ACCESS_DENIED during (\w+) operation")
_ACTIONS = {
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "HeadObject": "GetObject",
    "ListObjectsV2": "ListBucket",
}
"""{S3 operation: name of the permission that it requires}, for operations where the two names differ."""


def missing_permission(text: str) -> str | None:
    """Name the missing IAM permission if a text is pyarrow's access-denied error. Returns None for other errors."""
    match = _DENIED.search(text)
    if match is None:
        return None
    return f"access denied: the credentials lack s3:{_ACTIONS.get(match[1], match[1])}; {_NEEDED}"


def client(config: Any = None) -> Any:
    """Return a boto3 S3 client, cached because creating one takes longer than a typical request.

    The client uses the current environment variables. Changes of credential files take effect within a minute.

    Args:
        config: A botocore Config. Clients with a config are not cached.
    """
    if config is not None:
        return _new_client(config)
    return _cached_client(
        tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))),
        int(time.monotonic() // 60),
    )


@functools.lru_cache(maxsize=1)
def _cached_client(environment: tuple[tuple[str, str], ...], minute: int) -> Any:
    """Create a client, or return the cached one. The arguments only serve as the cache key."""
    return _new_client(None)


def _new_client(config: Any) -> Any:
    """Create a boto3 S3 client."""
    import boto3  # imported here because it is slow and local storage does not need it

    return boto3.Session().client("s3", region_name=os.environ.get("AWS_REGION"), config=config)


def refusal(bucket: str) -> str | None:
    """Check that a bucket is accessible by listing its first key.

    Returns:
        None if the bucket is accessible, else an explanation of the failure with the settings to check.
    """
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        NoCredentialsError,
        ParamValidationError,
        PartialCredentialsError,
    )

    config = Config(connect_timeout=SECONDS, read_timeout=SECONDS, retries={"total_max_attempts": 2})
    try:
        client(config).list_objects_v2(Bucket=bucket, MaxKeys=1)
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        return f"no credentials ({_one_line(error)}); set {_CREDENTIALS}, or run on a machine with an IAM role"
    except ParamValidationError:
        return f"{bucket!r} is not a valid bucket name"
    except ClientError as error:
        return explain(bucket, error)
    except (BotoCoreError, ValueError) as error:
        return f"cannot reach the service ({_one_line(error)}); check the network, AWS_ENDPOINT_URL and AWS_REGION"
    return None


def explain(bucket: str, error: Any) -> str:
    """Explain a ClientError of an S3 service, and name the settings to check."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    action = _ACTIONS.get(error.operation_name, error.operation_name)
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    service = f" at {endpoint}" if endpoint else ""
    if code == "NoSuchBucket":
        return f"there is no bucket {bucket!r}{service}; create it or use another one"
    if code == "AccessDenied":
        return f"access denied{service}: the credentials lack s3:{action}; {_NEEDED}"
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"):
        return f"the credentials were rejected{service} ({code}); check {_CREDENTIALS}"
    return (
        f"the request failed{service} with {code or 'an error without a code'}; check AWS_ENDPOINT_URL and AWS_REGION"
    )


def _one_line(error: Exception) -> str:
    """Join an error's text into one line."""
    return " ".join(str(error).split())

"""Whether a bucket of an S3 service can be used, and if not, why, in words and within seconds.

pyarrow moves the data. It tells a missing bucket, a wrong key and a wrong endpoint less well apart, and
asks a service that does not answer for minutes; so the first question goes through boto3.
"""

from __future__ import annotations

import functools
import os
import re
import time
from typing import Any

SECONDS = 5
_CREDENTIALS = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, for temporary keys, AWS_SESSION_TOKEN"


_NEEDED = "they need s3:ListBucket, s3:GetObject, s3:PutObject and s3:DeleteObject"
_DENIED = re.compile(r"ACCESS_DENIED during (\w+) operation")
_ACTIONS = {
    "CreateMultipartUpload": "PutObject",
    "UploadPart": "PutObject",
    "CompleteMultipartUpload": "PutObject",
    "HeadObject": "GetObject",
}
"""The permission behind an operation, where its name is another."""


def denied(text: str) -> str | None:
    """What an error of pyarrow's says is not allowed, by the name that policies have for it; None where it says something else."""
    found = _DENIED.search(text)
    if found is None:
        return None
    return f"these credentials may not use it (s3:{_ACTIONS.get(found[1], found[1])} is denied); {_NEEDED}"


def client(config: Any = None) -> Any:
    """A boto3 client; endpoint, region and keys come from the environment, as it is now, and from files as they were a minute ago at most.

    To make one takes more time than most questions to the service.
    """
    if config is not None:
        return _made(config)
    return _kept(
        tuple(sorted((name, value) for name, value in os.environ.items() if name.startswith("AWS_"))),
        int(time.monotonic() // 60),
    )


@functools.lru_cache(maxsize=1)
def _kept(environment: tuple[tuple[str, str], ...], minute: int) -> Any:
    return _made(None)


def _made(config: Any) -> Any:
    import boto3  # here and not at the top: who works on a local disk need not wait for it

    return boto3.Session().client("s3", region_name=os.environ.get("AWS_REGION"), config=config)


def refusal(bucket: str) -> str | None:
    """Ask for the bucket's first key. Returns None where it may be listed, else why not and what to set."""
    from botocore.config import Config
    from botocore.exceptions import (
        BotoCoreError,
        ClientError,
        CredentialRetrievalError,
        NoCredentialsError,
        ParamValidationError,
        PartialCredentialsError,
    )

    patience = Config(connect_timeout=SECONDS, read_timeout=SECONDS, retries={"total_max_attempts": 2})
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    try:
        client(patience).list_objects_v2(Bucket=bucket, MaxKeys=1)
    except (NoCredentialsError, PartialCredentialsError, CredentialRetrievalError) as error:
        return f"there are no credentials ({_one_line(error)}); set {_CREDENTIALS}, or run on a machine that has a role"
    except ParamValidationError:
        return f"{bucket!r} is not a bucket's name"
    except ClientError as error:
        return _of_answer(bucket, str(error.response.get("Error", {}).get("Code", "")), endpoint)
    except (BotoCoreError, ValueError) as error:
        return f"the service cannot be reached ({_one_line(error)}); check the network, AWS_ENDPOINT_URL and AWS_REGION"
    return None


def _of_answer(bucket: str, code: str, endpoint: str | None) -> str:
    """Put the error code of an S3 service into words."""
    service = f" at {endpoint}" if endpoint else ""
    if code == "NoSuchBucket":
        return f"there is no bucket {bucket!r}{service}; create it, or name another"
    if code == "AccessDenied":
        return f"these credentials may not use it (s3:ListBucket is denied{service}); {_NEEDED}"
    if code in ("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"):
        return f"the credentials are refused{service} ({code}); check {_CREDENTIALS}"
    return f"the bucket{service} answers {code or 'an error without a code'}; check AWS_ENDPOINT_URL and AWS_REGION"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

"""Check storage URIs and open their pyarrow filesystems."""

from __future__ import annotations

import functools
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from ranking.errors import InputError


def filesystem_of(uri: str) -> tuple[Any, str]:
    """Open the filesystem of a local path or URI.

    Returns:
        The pyarrow filesystem, and the path on it. For S3, the path is bucket and prefix.

    Raises:
        InputError: The filesystem cannot be opened.
    """
    scheme, divider, rest = uri.partition("://")
    if not divider:
        return pafs.LocalFileSystem(), uri
    bucket, _, path = rest.partition("/")
    try:
        filesystem, base = open_root(f"{scheme}://{bucket}/")
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{uri}: cannot open this path or URI ({' '.join(str(error).split())})") from None
    return filesystem, "/".join([base.rstrip("/"), *filter(None, path.split("/"))])


def check_uri(uri: str) -> None:
    """Reject URIs that include credentials or options, and S3 URIs without a bucket.

    Raises:
        InputError: The URI is rejected.
    """
    scheme, _, rest = uri.partition("://")
    bucket = rest.partition("/")[0]
    if "?" in rest or (scheme == "s3" and "@" in bucket):  # the message must not repeat a key
        raise InputError(
            f"{scheme}:// URI with keys or options: set them as environment variables instead (docs/storage.md)"
        )
    if scheme == "s3" and not bucket:
        raise InputError(f"{uri}: the bucket is missing, expected s3://bucket/folder")


@functools.cache
def open_root(root: str) -> tuple[Any, str]:
    """Open a filesystem once per process, because every new S3 client looks up the credentials and region again."""
    filesystem, base = pafs.FileSystem.from_uri(root)
    return filesystem, base

"""Settings of the service (`serving` in the run file)."""

from __future__ import annotations

import os
import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from ranking.settings import Settings

_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]*[a-z0-9\]]")
"""An origin as browsers send it: lower case, no path, and no slash at the end."""


class LimitSettings(Settings):
    """Limits of a request and of the requests in progress. Each replica counts its own requests."""

    max_body_bytes: int = Field(16 * 2**20, ge=1024, description="Maximum size of a request body, in bytes.")
    body_seconds: float = Field(
        10.0, gt=0, description="Seconds until a request whose body is not complete fails with status 408."
    )
    max_bytes_in_memory: int = Field(
        256 * 2**20,
        ge=1024,
        description="Maximum size of all request bodies in progress, in bytes. Further bytes get status 429.",
    )
    max_documents: int = Field(1000, ge=1, le=10_000, description="Maximum number of documents in a request.")
    max_characters: int = Field(100_000, ge=1, description="Maximum number of characters in a query or a document.")
    max_request_characters: int = Field(
        8_000_000, ge=1, description="Maximum number of characters in all documents of a request."
    )
    timeout_seconds: float = Field(60.0, gt=0, description="Seconds until a request fails with status 504.")
    max_requests_per_key: int = Field(
        64, ge=1, description="Maximum number of requests in progress per key. Further ones get status 429."
    )
    max_waiting_documents: int = Field(
        4000,
        ge=1,
        description="Maximum number of documents in progress. A request that exceeds it gets status 429, "
        "unless no other request is in progress, or it is within its key's fair share. For a student that reads "
        "passages, each passage counts.",
    )
    max_share_per_key: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Maximum share of `max_waiting_documents` and `max_bytes_in_memory` of one key, if `keys` is set.",
    )


class CacheSettings(Settings):
    """Caches of each replica, for traffic that repeats itself. Least recently used entries are evicted."""

    scores_mb: int = Field(
        0,
        ge=0,
        description="Maximum size of the cache of scores, in MiB. 1 MiB is about 2,700 (query, document) pairs. 0: no "
        "cache.",
    )
    documents_mb: int = Field(
        0,
        ge=0,
        description="Maximum size of the cache of tokenized documents, in MiB. 1 MiB is about 1,200 documents of 120 "
        "tokens. 0: no cache.",
    )
    shared_between_keys: bool = Field(
        False,
        description="Use scores that were computed for another key. Response times then show whether any key has asked "
        "for a pair.",
    )


class TrafficSettings(Settings):
    """An experiment with a challenger. Callers name their user or session in the header X-Experiment-Key."""

    challenger: str | None = Field(
        None, description="Version in the registry to compare with the champion. Null: the champion gets all traffic."
    )
    mode: Literal["split", "shadow", "interleave"] = Field(
        "split",
        description="Handling of requests whose key is in `share`. `split`: the challenger ranks them. `shadow`: the "
        "champion ranks them and the challenger scores them afterwards. `interleave`: both rankings are merged by "
        "team-draft interleaving.",
    )
    share: float = Field(0.5, ge=0, le=1, description="Share of the keys that `mode` applies to.")
    experiment: str = Field(
        "1", min_length=1, description="Name of the experiment, and salt of the hash that assigns keys to arms."
    )


class RecordSettings(Settings):
    """Recording of rankings that were shown to callers with an experiment key, and of their feedback."""

    exposures: bool = Field(
        False, description="Append exposures and feedback to parquet files in serving/ under the storage root."
    )
    queries: Literal["hash", "text"] = Field(
        "hash", description="Record the hash or the text of a query, in exposures and in judgements of the search page."
    )
    max_rows_per_file: int = Field(5000, ge=1, description="Maximum number of rows in a file.")
    flush_seconds: float = Field(
        30.0, gt=0, description="Seconds between writes to storage. Until then rows are in a journal on the local disk."
    )


class ServingSettings(Settings):
    """The HTTP service."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    replicas: int = Field(1, ge=1, description="Number of replicas, or their minimum if `max_replicas` is set.")
    max_replicas: int | None = Field(
        None, ge=1, description="Maximum number of replicas when scaling with the load. Null: `replicas`, no scaling."
    )
    gpus: float = Field(0, ge=0, description="GPUs per replica. Fractions are allowed.")
    keys: str | None = Field(
        None, description="File with the SHA-256 hashes of the bearer keys, a path or URI. Null: no key is required."
    )
    allowed_hosts: list[str] | None = Field(
        None,
        description="Accepted names in the Host header, such as rank.example.com or *.example.com. Null: all if `keys` "
        "is set, else IP addresses, names without a dot, and names in .local, .localhost, .svc and .internal.",
    )
    allowed_origins: list[str] = Field(
        [],
        description="Origins whose web pages may call the service from a browser, such as https://shop.example.com. "
        "`*` is any origin. Empty: responses have no CORS headers.",
    )
    registry_poll_seconds: float = Field(
        5.0, gt=0, description="Seconds between reads of the registry to detect a new champion."
    )
    blend: bool = Field(
        True,
        description="Blend the student's scores with the first stage's if the student has a blend and the request "
        "contains a first-stage ranking. False: use the student's scores alone.",
    )
    page: bool = Field(
        True,
        description="Serve a search page at /, which searches the run's collection if the collection is indexed, and "
        "saves relevance grades.",
    )
    limits: LimitSettings = LimitSettings()
    cache: CacheSettings = CacheSettings()
    traffic: TrafficSettings = TrafficSettings()
    record: RecordSettings = RecordSettings()

    @property
    def threads(self) -> int:
        """Threads per replica on this machine: its cores divided by the maximum number of replicas."""
        return max(1, (os.cpu_count() or 1) // (self.max_replicas or self.replicas))

    @field_validator("allowed_origins")
    @classmethod
    def _origins_are_complete(cls, origins: list[str]) -> list[str]:
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is not an origin; expected scheme and host, as https://shop.example.com")
        return origins

    @model_validator(mode="after")
    def _replicas_in_order(self) -> ServingSettings:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below replicas {self.replicas}")
        return self

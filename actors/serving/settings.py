"""Settings of the service."""

from __future__ import annotations

import os
from typing import Literal

from pydantic import Field, model_validator

from ranking.settings import Settings


class LimitSettings(Settings):
    """What a request may hold, and how many may wait. Those of waiting count in each replica."""

    max_body_bytes: int = Field(16 * 2**20, ge=1024, description="Size of a request's body.")
    max_documents: int = Field(1000, ge=1, description="Documents of one request.")
    max_characters: int = Field(100_000, ge=1, description="Characters of a query or a document.")
    timeout_seconds: float = Field(60.0, gt=0, description="Time after which a request is given up, with status 504.")
    max_requests_per_key: int = Field(64, ge=1, description="Requests of one key under way; more get status 429.")
    max_waiting_documents: int = Field(
        4000,
        ge=1,
        description="Documents under way; a request that would make them more gets status 429, unless it is alone.",
    )


class TrafficSettings(Settings):
    """A challenger beside the champion. A caller names its user or session in the header X-Experiment-Key."""

    challenger: str | None = Field(None, description="Version of the registry. Null: the champion has all traffic.")
    mode: Literal["split", "shadow", "interleave"] = Field(
        "split",
        description="`split`: a share of the keys gets the challenger. `shadow`: the champion answers, and the challenger scores what a "
        "share of the keys asks afterwards. `interleave`: a share of the keys gets both orders drafted into one.",
    )
    share: float = Field(0.5, ge=0, le=1, description="Share of the keys that `mode` applies to.")
    experiment: str = Field(
        "1", min_length=1, description="Name of the experiment, and salt of the hash that divides keys."
    )


class RecordSettings(Settings):
    """What is written down of the answers that callers with a key were shown, and of their feedback."""

    exposures: bool = Field(False, description="Append exposures and feedback to serving/ under the storage root.")
    queries: Literal["hash", "text"] = Field("hash", description="What is kept of a query: its hash, or its text.")
    max_rows_per_file: int = Field(5000, ge=1, description="Rows of a file at most.")
    flush_seconds: float = Field(
        30.0, gt=0, description="Time after which rows are written to storage; until then they are in a local journal."
    )


class ServingSettings(Settings):
    """The HTTP service."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    replicas: int = Field(1, ge=1, description="Replicas; the smallest number of them where they are scaled.")
    max_replicas: int | None = Field(
        None, ge=1, description="Scale replicas with the load up to this number. Null: `replicas`."
    )
    gpus: float = Field(0, ge=0, description="GPUs of a replica; parts of one are allowed.")
    keys: str | None = Field(
        None, description="File of SHA-256 hashes of bearer keys, a path or URI. Null: no key is asked for."
    )
    registry_poll_seconds: float = Field(
        5.0, gt=0, description="Seconds between looks at the registry for another champion."
    )
    blend: bool = Field(
        True,
        description="Blend the student's scores with the first stage's, where the student has a blend and a request says how its "
        "documents were ranked before. False: the student's scores alone.",
    )
    page: bool = Field(
        True, description="Serve the page at /, which searches the run's own collection where that is indexed."
    )
    limits: LimitSettings = LimitSettings()
    traffic: TrafficSettings = TrafficSettings()
    record: RecordSettings = RecordSettings()

    @property
    def threads(self) -> int:
        """Of a replica on this machine: its cores, divided by the replicas that there may be."""
        return max(1, (os.cpu_count() or 1) // (self.max_replicas or self.replicas))

    @model_validator(mode="after")
    def _replicas_in_order(self) -> ServingSettings:
        if self.max_replicas is not None and self.max_replicas < self.replicas:
            raise ValueError(f"max_replicas {self.max_replicas} is below replicas {self.replicas}")
        return self

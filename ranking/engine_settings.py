"""Settings of the retrievers that ask a search engine: an HTTP API, or a SQL database."""

from __future__ import annotations

import re
from typing import Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ranking.base_settings import NamedRetrieverSettings
from ranking.retrieval.request_templates import mentions_query

ENGINE_EXECUTION_SETTINGS: Final = {"concurrency", "retries", "timeout_seconds"}
"""Settings of an engine that do not change its answers. Candidates do not depend on them."""

ENVIRONMENT_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
_PARAMETER = re.compile(r"(?<![:\w\\]):([A-Za-z_]\w*)(?!:)")
_POSTGRESQL = re.compile(r"^(postgresql|postgres)(\+\w+)?://")


class EngineSettings(NamedRetrieverSettings):
    """Base class of the settings of search engines."""

    concurrency: int = Field(8, ge=1, le=256, description="Queries that are asked at the same time.")
    retries: int = Field(
        5,
        ge=0,
        description="Retries per query after a failure that may pass, with exponential backoff and jitter.",
    )
    timeout_seconds: float = Field(30.0, gt=0, description="Time limit of each attempt.")

    @property
    def returns_texts(self) -> bool:
        """Whether answers may contain the texts of documents."""
        return True


class HttpSearchSettings(EngineSettings):
    """A search engine with a JSON API over HTTP, such as Elasticsearch, OpenSearch, Solr or Vespa.

    In `body` and `parameters`, the text `{query}` is replaced by the query, and `{depth}` by the number of candidates.
    Paths are keys and list positions joined with dots, such as `hits.hits` or `fields.text.0`.
    """

    kind: Literal["http_search"] = "http_search"
    url: str = Field(description="Address of the search API, without credentials.")
    method: Literal["POST", "GET"] = Field("POST", description="HTTP method. GET sends `parameters` only.")
    body: dict[str, Any] | None = Field(
        None, description="JSON body of a POST request. A value that is `{depth}` alone becomes a number."
    )
    parameters: dict[str, str | int | float | bool | list[str]] = Field(
        default_factory=dict, description="Parameters in the query string of the URL."
    )
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="HTTP headers. `${NAME}` is replaced on the worker by the environment variable NAME. Credentials "
        "must be given this way.",
    )
    hits: str = Field("hits.hits", description="Path of the list of hits in the answer. Empty: the answer is the list.")
    total: str | None = Field(
        None, description="Path of the number of matches. If it is 0, the list of hits may be missing, as in Vespa."
    )
    partial: list[str] = Field(
        default_factory=list,
        description="Paths of values that mark an answer as incomplete unless they are missing, null, false or 0, such "
        "as `timed_out`. Such an answer is a failure that may pass.",
    )
    id: str = Field("_id", description="Path of the document id in a hit.")
    text: str | None = Field(
        None,
        description="Path of the text in a hit, such as `_source.text`. Null, or a hit without a text: the text of the "
        "collection's document.",
    )
    title: str | None = Field(None, description="Path of the title in a hit.")
    score: str | None = Field("_score", description="Path of the score in a hit. Null: 1 / rank.")

    @property
    def returns_texts(self) -> bool:
        """Whether answers may contain the texts of documents."""
        return self.text is not None

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
            raise ValueError("must be an address such as https://search.example.com:9200/index/_search")
        return url

    @model_validator(mode="after")
    def _check_request(self) -> HttpSearchSettings:
        if self.method == "GET" and self.body is not None:
            raise ValueError("method: GET sends no body; move its values to `parameters`, or use method: POST")
        if not mentions_query([self.body, self.parameters]):
            raise ValueError('"{query}" must be a part of `body` or `parameters`')
        return self


class SqlSettings(EngineSettings):
    """Full-text search in PostgreSQL with a SELECT statement, in read-only transactions."""

    kind: Literal["sql"] = "sql"
    url: str = Field(description="Address of the database without a password: postgresql://USER@HOST:PORT/DATABASE.")
    password_env: str | None = Field(
        None,
        pattern=ENVIRONMENT_NAME,
        description="Name of the environment variable that contains the password on the workers. Null: no password, or "
        "what libpq finds, such as ~/.pgpass.",
    )
    query: str = Field(
        description="SELECT with the bound parameters `:query` and `:depth`. It returns one document per row, best "
        "first, with columns `id`, and optionally `title`, `text` and `score`."
    )

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if not _POSTGRESQL.match(url):
            raise ValueError("must begin with postgresql://; other databases are not supported")
        return url

    @field_validator("query")
    @classmethod
    def _check_query(cls, query: str) -> str:
        names = set(_PARAMETER.findall(query))
        if "query" not in names:
            raise ValueError("must contain the bound parameter :query (and CAST(:query AS text), not :query::text)")
        if unknown := names - {"query", "depth"}:
            raise ValueError(f"unknown bound parameter :{min(unknown)}; use :query and :depth (write \\: for a colon)")
        return query

"""Settings of a language model behind an OpenAI-compatible chat-completions API."""

from __future__ import annotations

from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ranking.labels.cost_estimate import HostedRates
from ranking.settings import Settings
from ranking.token_prices import TokenPrices

Backend = Literal["vllm", "openai", "batch"]

BACKEND = (
    "Where the model runs. `vllm`: engines of this job. `openai`: any server with OpenAI's chat-completions API. "
    "`batch`: request files for a batch service. The last two need `hosted`."
)
"""Description of every setting `backend`."""

HOSTED = "The server or batch service, for the backends `openai` and `batch`."
"""Description of every setting `hosted`."""

_EXECUTION = {
    "url",
    "api_key_env",
    "workers",
    "concurrency",
    "requests_per_minute",
    "tokens_per_minute",
    "max_retries",
    "max_wait_seconds",
    "timeout_seconds",
    "input_price",
    "output_price",
    "spend_cap",
    "batch_requests",
    "batch_megabytes",
}
"""Settings that do not change the answers."""


class HostedSettings(Settings):
    """A model behind an OpenAI-compatible chat-completions API, or behind a service that takes batch files.

    API keys are read from the environment only.
    """

    url: str | None = Field(
        None,
        description="Base URL of the API, such as `https://api.example.com/v1`; `/chat/completions` is added. Required "
        "for the backend `openai`. For `batch` it only names the service.",
    )
    api_key_env: str | None = Field(
        "OPENAI_API_KEY",
        description="Name of the environment variable with the API key, in capitals. It must be set on every machine "
        "of the cluster. Null: send no key.",
    )
    workers: int = Field(1, ge=1, description="Actors that send requests. They need no GPU. `batch` uses one.")
    concurrency: int = Field(16, ge=1, description="Maximum requests in flight per worker.")
    requests_per_minute: float | None = Field(
        None, gt=0, description="Rate limit of the whole job; each worker gets an equal share. Null: no limit."
    )
    tokens_per_minute: float | None = Field(
        None,
        gt=0,
        description="Rate limit of the whole job, in prompt tokens plus the maximum of generated tokens. Null: no "
        "limit.",
    )
    max_retries: int = Field(
        6,
        ge=0,
        description="Further attempts after a timeout, a broken connection, HTTP 408, 409, 429 or 5xx. For `batch`, "
        "further batches for a request without an answer.",
    )
    max_wait_seconds: float = Field(
        120.0,
        gt=0,
        description="Maximum wait before a retry. The job ends if the server asks for a longer one in Retry-After.",
    )
    timeout_seconds: float = Field(300.0, gt=0, description="Maximum time from a request to the end of its answer.")
    structured: Literal["auto", "json_schema", "none"] = Field(
        "auto",
        description="Structured output of a listwise teacher, a judge or a generator of queries. `json_schema`: "
        "response_format with a JSON schema. `auto`: the same, and free text if the server refuses it. `none`: free "
        "text. For `batch`, `auto` is `none`.",
    )
    body: dict[str, Any] = Field(
        default_factory=dict,
        description="Further fields of the request body, such as `{top_p: 0.9}`. Null removes a field, such as "
        "`{temperature: null}` for a model that refuses it.",
    )
    max_output_tokens: int | None = Field(
        None,
        ge=1,
        description="Maximum tokens per answer of a listwise teacher, without its thought. Null: enough for an answer "
        "that lists every document.",
    )
    max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        "max_tokens", description="Field of the request body with the maximum tokens per answer."
    )
    tokenizer: str | None = Field(
        None,
        description="Folder or Hugging Face id of a model whose tokenizer and chat template count tokens. Null: four "
        "bytes of text count as one token.",
    )
    context: int | None = Field(
        None,
        ge=64,
        description="Context of the model in tokens; documents are truncated until the prompt fits. Null: that of "
        "`tokenizer`, else no limit.",
    )
    input_price: float | None = Field(None, ge=0, description="Price of a million prompt tokens, in any currency.")
    output_price: float | None = Field(None, ge=0, description="Price of a million generated tokens.")
    spend_cap: float | None = Field(
        None,
        gt=0,
        description="The job stops before the answers to this model's prompts cost more, counting those of earlier "
        "jobs of the run. Needs both prices. Backend `openai` only.",
    )
    batch_requests: int = Field(50_000, ge=1, description="Maximum requests per batch file.")
    batch_megabytes: float = Field(200.0, gt=0, description="Maximum size of a batch file, in MB of 1,000,000 bytes.")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be a URL such as https://api.example.com/v1")
        if parts.query or parts.fragment or parts.username or parts.password:
            raise ValueError("must not contain a user, a query or a fragment; keys belong in the environment")
        return url.rstrip("/").removesuffix("/chat/completions")

    @field_validator("body")
    @classmethod
    def _check_body(cls, body: dict[str, Any]) -> dict[str, Any]:
        if own := sorted({"model", "messages"} & body.keys()):
            raise ValueError(f"must not contain {own[0]}; the job sets it, from the setting model and the prompt")
        return body

    @model_validator(mode="after")
    def _check_prices(self) -> HostedSettings:
        if (self.input_price is None) != (self.output_price is None):
            raise ValueError("set both input_price and output_price, or neither")
        if self.spend_cap is not None and self.prices is None:
            raise ValueError("spend_cap needs input_price and output_price")
        return self

    @property
    def prices(self) -> TokenPrices | None:
        """Prices per million tokens; None if they are not set."""
        if self.input_price is None or self.output_price is None:
            return None
        return TokenPrices(self.input_price, self.output_price)

    @property
    def host(self) -> str | None:
        """Host and port of the URL."""
        return urlsplit(self.url).netloc if self.url else None

    @property
    def identity(self) -> dict[str, Any]:
        """Settings that determine the answers, with the host instead of the whole URL."""
        return {"host": self.host, **self.model_dump(exclude=_EXECUTION)}


def check_backend(backend: Backend, hosted: HostedSettings | None, revision: str | None) -> None:
    """Check that the settings of a generating model fit its backend.

    Raises:
        ValueError: `hosted` is missing, superfluous or incomplete, or there is a revision.
    """
    if backend == "vllm":
        if hosted is not None:
            raise ValueError("hosted is only for backend openai or batch; set backend, or remove hosted")
        return
    if hosted is None or (backend == "openai" and hosted.url is None):
        raise ValueError(f"backend {backend} needs hosted" + (".url" if backend == "openai" else ""))
    if revision is not None:
        raise ValueError("revision must be null for a hosted model; put the version into the name of the model")
    if backend == "batch" and hosted.spend_cap is not None:
        raise ValueError("hosted.spend_cap works with backend openai only; see --estimate for the cost of a batch")


def is_hosted(settings: object) -> bool:
    """Return whether the settings of a teacher, writer or judge are those of a hosted model."""
    return getattr(settings, "backend", "vllm") != "vllm"


def prices_of(settings: object) -> TokenPrices | None:
    """Return the token prices of a hosted teacher, rationale writer or judge; None for all others."""
    hosted = getattr(settings, "hosted", None)
    return hosted.prices if isinstance(hosted, HostedSettings) else None


def rates_of(settings: object) -> HostedRates | None:
    """Return prices and rate limits of a hosted model, for cost estimates; None for all others."""
    hosted = getattr(settings, "hosted", None)
    if not isinstance(hosted, HostedSettings):
        return None
    return HostedRates(hosted.prices, hosted.requests_per_minute, hosted.tokens_per_minute)


def identity_with_backend(identity: dict[str, Any], settings: Any) -> dict[str, Any]:
    """Replace the backend in the identity of a generating model by what determines the answers.

    The identity of a model in vLLM that does not think is the same as before there were other backends. `openai` and
    `batch` have the same identity, so one can continue what the other began.

    Args:
        identity: All settings of the teacher, rationale writer or judge.
        settings: The settings as an object.
    """
    identity = {name: value for name, value in identity.items() if name not in ("backend", "hosted")}
    if identity.get("thinking", True) is None:
        del identity["thinking"]
    if not is_hosted(settings):
        return identity
    del identity["engine"], identity["revision"]
    return identity | {"hosted": settings.hosted.identity}

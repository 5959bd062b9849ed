"""Settings that generative language models share: teachers, judges, and writers of rationales or queries."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from ranking.hosted_settings import BACKEND, HOSTED, Backend, HostedSettings, check_backend
from ranking.settings import REVISION, EngineArguments, Revision, Settings


class GenerativeModelSettings(Settings):
    """A generative language model, in vLLM or behind an API. Subclasses set `kind` and may narrow the descriptions."""

    kind: str
    backend: Backend = Field("vllm", description=BACKEND)
    model: str = Field(
        description="Folder or Hugging Face id of a generative model with a chat template. For a hosted model, its "
        "name in the API."
    )
    revision: Revision = Field(None, description=REVISION)
    hosted: HostedSettings | None = Field(None, description=HOSTED)
    engine: EngineArguments = Field(
        default_factory=lambda: {"dtype": "auto", "enable_prefix_caching": True},
        description=(
            "Arguments of the vLLM engine. On a CPU, dtype `auto` is bf16 if the CPU supports it natively, else fp32."
        ),
    )

    @model_validator(mode="after")
    def _check_backend(self) -> Self:
        check_backend(self.backend, self.hosted, self.revision)
        return self

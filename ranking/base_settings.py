"""The base classes of all settings, and of the settings of retrievers."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Base class of all settings. Rejects unknown keys and accepts numbers for string settings."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


class NamedRetrieverSettings(Settings):
    """Base class of retriever settings. `name` is the name of the retriever's candidate list."""

    kind: str
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the candidate list. Null: the retriever's kind; for a run, the file name without its "
        "suffix.",
    )

    @property
    def list_name(self) -> str:
        """Name of the candidate list in files and tables."""
        return self.name or self.kind

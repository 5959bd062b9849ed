"""Base class of all records, and error messages for rows that are not valid records."""

from __future__ import annotations

import hashlib
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator


class ChecksummedModel(BaseModel):
    """Base class of models that are stored as a JSON file with a checksum, so a changed character is an error.

    Attributes:
        sha256: SHA-256 of all other fields as JSON. None in a model that was not stored, and in files of older
            versions, which are not checked.
    """

    sha256: str | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.sha256 is not None and self.sha256 != self._digest():
            raise ValueError("the checksum is wrong")
        return self

    def with_checksum(self) -> Self:
        """Return a copy with the checksum of its fields."""
        return self.model_copy(update={"sha256": self._digest()})

    def to_json(self) -> str:
        """Return the content of the JSON file."""
        return self.with_checksum().model_dump_json(indent=2)

    def _digest(self) -> str:
        return hashlib.sha256(self.model_dump_json(exclude={"sha256"}).encode("utf-8")).hexdigest()


class Record(BaseModel):
    """Base class of all rows that pass between stages. Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


def misfit(error: ValidationError) -> str:
    """Describe in one line why a row does not validate as a record."""
    first = error.errors()[0]
    return f"written by another version ({'.'.join(map(str, first['loc']))}: {first['msg'].lower()})"


def problem_of(error: ValidationError, text: str) -> str:
    """Describe in one line why a JSON file does not validate as a model."""
    if not text.strip():
        return "empty"
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    return f"{where}: {first['msg']}" if where else str(first["msg"])

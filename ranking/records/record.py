"""Base class of all records, and error messages for rows that are not valid records."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class Record(BaseModel):
    """Base class of all rows that pass between stages. Unknown fields are errors."""

    model_config = ConfigDict(extra="forbid")


def misfit(error: ValidationError) -> str:
    """Describe in one line why a row does not validate as a record."""
    first = error.errors()[0]
    return f"written by another version ({'.'.join(map(str, first['loc']))}: {first['msg'].lower()})"

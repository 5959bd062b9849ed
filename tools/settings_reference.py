"""Generate docs/settings.md, the reference of the run file, from the settings classes.

python -m tools.settings_reference docs/settings.md
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ray_jobs.common.run import RunSettings

_HEAD = """# Settings

Every setting of the run file with its type and default. This page is generated: `python -m tools.settings_reference docs/settings.md`.

Each setting is also a flag of every job that reads it, for example `--training.epochs 2`. Lists and objects are given as JSON, and
`null` resets a setting. `python -m ray_jobs.<job> --help` lists the settings of a job.
"""


def page() -> str:
    """Write the reference as Markdown."""
    return "\n".join([_HEAD, *_section("", RunSettings), ""]).replace("\n\n\n", "\n\n")


def _section(path: str, model: type[BaseModel]) -> Iterator[str]:
    """Write the table of a settings class, then the sections of the objects in it."""
    if path:
        yield f"## {path}\n"
        if model.__doc__ and not model.__doc__.startswith("Usage docs"):
            yield f"{_paragraph(model.__doc__)}\n"
    scalars = {name: field for name, field in model.model_fields.items() if not _objects(field.annotation)}
    if scalars:
        yield "| setting | type | default | description |"
        yield "|---|---|---|---|"
        for name, field in scalars.items():
            yield f"| `{name}` | {_cell(_type_of(field.annotation))} | {_default(field)} | {_cell(field.description or '')} |"
        yield ""
    for name, field in model.model_fields.items():
        inner = f"{path}.{name}" if path else name
        for kind in _objects(field.annotation):
            yield from _section(_heading(inner, field.annotation, kind), kind)


def _heading(path: str, annotation: Any, kind: type[BaseModel]) -> str:
    """Name a section: `students[]`, and the kind where there are several."""
    listed = "[]" if _is_list(annotation) else ""
    tag = kind.model_fields.get("kind")
    several = len(_objects(annotation)) > 1 and tag is not None
    return f"{path}{listed}" + (f" (kind: {get_args(tag.annotation)[0]})" if several and tag is not None else "")


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(_is_list(part) for part in get_args(annotation))


def _objects(annotation: Any) -> list[type[BaseModel]]:
    """List the settings classes in an annotation such as `A | B | None` or `list[A]`."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return [annotation] if issubclass(annotation, BaseModel) else []
    if get_origin(annotation) in (Union, types.UnionType, Annotated, list):
        return [found for part in get_args(annotation) for found in _objects(part)]
    return []


def _type_of(annotation: Any) -> str:
    """Name a type as a user writes it: `int`, `list of str`, the choices of a literal."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return " \\| ".join(f"`{choice}`" for choice in parts)
    if origin in (Union, types.UnionType):
        return " \\| ".join("null" if part is type(None) else _type_of(part) for part in parts)
    if origin is list:
        return f"list of {_type_of(parts[0])}"
    if origin is dict:
        return "object"
    return str(getattr(annotation, "__name__", annotation))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined or value is None:
        return "null"
    return f"`{json.dumps(value)}`"


def _cell(text: str) -> str:
    return " ".join(text.split())


def _paragraph(text: str) -> str:
    return " ".join(text.strip().split("\n\n")[0].split())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")

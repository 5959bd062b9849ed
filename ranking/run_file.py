"""Load settings from a run file (YAML) and overrides, and report validation errors in one line."""

from __future__ import annotations

import difflib
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from ranking.credentials import check_no_credentials
from ranking.errors import InputError, first_line
from ranking.settings import Settings

S = TypeVar("S", bound=Settings)


def load_settings(model: type[S], path: Path, overrides: Sequence[tuple[str, Any]] = ()) -> S:
    """Read a run file, apply overrides given as (dotted key, value), and validate the result.

    Raises:
        InputError: The file is missing or not a YAML mapping, a key is unknown (the message names the closest known
            key), or a value has the wrong type.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read the run file ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: the run file is not UTF-8 text") from None
    except RecursionError:
        raise InputError(f"{path}: not valid YAML (nested too deeply)") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid YAML ({first_line(error)})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', 'malformed')})") from None
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise InputError(f"{path}: a run file must be a mapping of keys to values, not a {type(raw).__name__}")
    for key, value in overrides:
        set_override(raw, key, value)
    return validate(model, raw, str(path))


def validate(model: type[S], raw: dict[str, Any], where: str) -> S:
    """Validate a mapping of settings.

    Args:
        model: Class of the settings.
        raw: The mapping, nested like the settings.
        where: Source of the settings, such as the path of the run file. It is the prefix of error messages.

    Raises:
        InputError: A setting is invalid, or contains credentials. The message is one line about the first error.
    """
    check_no_credentials(raw, where)
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(model, error)}") from None


def set_override(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set the value of a dotted key such as `a.b` in nested mappings, in place.

    Raises:
        InputError: A parent of the key is not a mapping.
    """
    *parents, last = key.split(".")
    mapping = raw
    for depth, name in enumerate(parents):
        child = mapping.setdefault(name, {})
        if not isinstance(child, dict):
            path = ".".join(parents[: depth + 1])
            raise InputError(f"argument --{key}: {path} is not an object; set all of it with --{path} JSON")
        mapping = child
    mapping[last] = value


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    """Describe the first validation error in one line."""
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"][:-1])
        unknown = str(first["loc"][-1])
        near = difflib.get_close_matches(unknown, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys here: {', '.join(known)}"
        return f"unknown setting {path!r}; {hint}"
    if first["type"] in {"union_tag_not_found", "union_tag_invalid"}:
        kinds = [name for kind in _resolve(model, first["loc"]) if "kind" in kind.model_fields for name in _tags(kind)]
        tag = first["ctx"].get("tag")
        return f"setting {path + '.kind'!r}: must be one of {', '.join(kinds)}" + (
            f", not {tag!r}" if tag is not None else ""
        )
    value = first.get("input")
    shown = "" if isinstance(value, dict | list) else f", not {value!r}"
    return f"setting {path!r}: {first['msg'][0].lower()}{first['msg'][1:]}{shown}"


def _known_keys(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """List the keys of the settings classes that a validation error's path leads to. See `_resolve`."""
    return list(dict.fromkeys(name for kind in _resolve(model, path) for name in kind.model_fields))


def _resolve(model: type[BaseModel], path: Sequence[str | int]) -> list[type[BaseModel]]:
    """Return the settings classes that a validation error's path leads to.

    Args:
        model: Settings class in which the path starts.
        path: Keys, list indices and union tags. A union tag is the value of `kind` that selects a class of a union.
    """
    kinds: list[Any] = [model]
    for part in path:
        resolved: list[Any] = []
        for kind in kinds:
            resolved += _step(kind, part)
        kinds = resolved or kinds
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _tags(kind: type[BaseModel]) -> tuple[str, ...]:
    """List the values that a settings class accepts for its union tag, the field `kind`."""
    return get_args(kind.model_fields["kind"].annotation)


def _step(kind: Any, part: str | int) -> list[Any]:
    """Return the settings classes that one part of a validation error's path leads to from the class `kind`."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    if isinstance(part, str) and part in kind.model_fields:
        return settings_classes(kind.model_fields[part].annotation)
    tag = kind.model_fields.get("kind")
    return [kind] if isinstance(part, int) or (tag is not None and part in get_args(tag.annotation)) else []


def settings_classes(annotation: Any) -> list[Any]:
    """List the settings classes in a type annotation such as list[A | B] or A | None."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return [annotation] if issubclass(annotation, BaseModel) else []
    classes: list[Any] = []
    for argument in get_args(annotation) if get_origin(annotation) in (Union, types.UnionType, Annotated, list) else []:
        classes += settings_classes(argument)
    return classes

"""The run file's shared parts, and how a run file and the command line become settings.

Each room owns the settings class of its part; those that several rooms read stand here. Unknown keys
are errors that name the nearest known key.
"""

from __future__ import annotations

import difflib
import json
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ranking.errors import InputError


class Settings(BaseModel):
    """Base of all settings: unknown keys are refused, numbers are taken where a text is asked for."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


class CollectionSettings(Settings):
    """The documents, the queries to label, and the judged test queries."""

    source: str = Field(
        "pydoc",
        description="`pydoc`, the embedded collection; `beir:`, `trec:` or `parquet:` and a folder or URI; `ir_datasets:<id>`.",
    )
    use: Literal["both", "label", "test"] = Field(
        "both",
        description="What judged queries are used for. `both`: those of a split of their own are tested; of one set of judgements, half "
        "are tested and half can be labelled. `label`: all can be labelled, none is tested. `test`: all of one set are tested.",
    )


class NamedRetrieverSettings(Settings):
    """A first stage, and what its list is called."""

    kind: str
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of its list. Null: its kind, of a run its file's stem.",
    )

    @property
    def called(self) -> str:
        """The name of its list in files and tables."""
        return self.name or self.kind


class Bm25Settings(NamedRetrieverSettings):
    """Lucene's BM25 by bm25s, English stop words and Snowball stemmer."""

    kind: Literal["bm25"] = "bm25"
    k1: float = Field(0.9, gt=0, description="Term frequency saturation.")
    b: float = Field(0.4, ge=0, le=1, description="Length normalisation.")


class DenseSettings(NamedRetrieverSettings):
    """Search over the embeddings of a sentence encoder."""

    kind: Literal["dense"] = "dense"
    model: str = Field(
        "minilm", description="`minilm`, or the folder or Hugging Face id of any sentence-transformers model."
    )
    search: Literal["exact", "faiss"] = Field(
        "exact",
        description="`exact`: every vector is compared. `faiss`: an HNSW graph, for collections of many millions; needs faiss-cpu.",
    )


class RunRetrieverSettings(NamedRetrieverSettings):
    """Lists that another system found, over the collection's documents."""

    kind: Literal["run"] = "run"
    path: str = Field(description="TREC run file, or RankLLM's .json or .jsonl, over the collection's ids.")

    @property
    def called(self) -> str:
        return self.name or Path(self.path).stem


class ParquetRetrieverSettings(NamedRetrieverSettings):
    """Lists that arrive with their texts; no collection is searched."""

    kind: Literal["parquet"] = "parquet"
    path: str = Field(
        description="Parquet file or folder, a path or URI. A row is a query: query_id, text, candidates; a candidate: doc_id, text, "
        "and if known title and score. Candidates stand best first."
    )


RetrieverSettings = Annotated[
    Bm25Settings | DenseSettings | RunRetrieverSettings | ParquetRetrieverSettings, Field(discriminator="kind")
]


def _default_retrievers() -> list[RetrieverSettings]:
    return [Bm25Settings(), DenseSettings()]


class CandidateSettings(Settings):
    """First-stage retrieval: every retriever's top `depth`, fused by reciprocal rank."""

    retrievers: list[RetrieverSettings] = Field(
        default_factory=_default_retrievers,
        min_length=1,
        description="Retrievers to fuse. One of kind parquet stands alone.",
    )
    depth: int = Field(50, ge=2, description="Candidates per query.")

    @model_validator(mode="after")
    def _names_apart(self) -> CandidateSettings:
        names = [retriever.called for retriever in self.retrievers]
        if len(set(names)) != len(names):
            raise ValueError(f"each retriever needs a name of its own, not {', '.join(names)}")
        if len(names) > 1 and any(isinstance(retriever, ParquetRetrieverSettings) for retriever in self.retrievers):
            raise ValueError(f"a retriever of kind parquet stands alone, not with {len(names) - 1} more")
        return self

    @property
    def given(self) -> ParquetRetrieverSettings | None:
        """The lists that arrive whole, if that is what the run uses."""
        first = self.retrievers[0]
        return first if isinstance(first, ParquetRetrieverSettings) else None


class PreRankerSettings(Settings):
    """The cheap ranker that picks which candidates the teacher sees."""

    model: str = Field("minilm", description="A sentence encoder, named as for dense retrieval.")
    top: int = Field(10, ge=1, description="Candidates from the head of its order.")
    bottom: int = Field(10, ge=0, description="Candidates from the tail of its order.")


class AuditSettings(Settings):
    """The audit of a listwise teacher on a sample."""

    lists: int = Field(
        100, ge=1, description="Lists drawn from the log, and as many from the test queries where there are judgements."
    )
    orders: int = Field(
        2, ge=1, description="Prompt orders per list; with 2 or more the teacher's agreement with itself is measured."
    )
    seed: int = Field(13, description="Seed of the draw and of the intervals.")


class AblationSettings(Settings):
    """Students that differ in one thing, trained on the same labels for as many steps."""

    arms: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Settings of each arm by its name, laid over the run's: keys such as `training.loss`, or `student.term_control.form` "
        "for the run's first student. The first arm is what the others are compared with.",
    )
    seeds: list[int] = Field(
        default_factory=lambda: [13, 14, 15], min_length=1, description="Seeds that every arm is trained with."
    )


S = TypeVar("S", bound=Settings)


def load_settings(model: type[S], path: Path, overrides: Sequence[str]) -> S:
    """Read a run file, lay the command line's `--a.b value` pairs over it, and validate.

    Raises InputError for a file that is missing or no YAML mapping, an unknown key (with the nearest
    known one) or a value of the wrong kind.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: the run file cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: the run file is not UTF-8 text") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', 'malformed')})") from None
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise InputError(f"{path}: a run file is a mapping of keys to values, this is a {type(raw).__name__}")
    for key, value in parse_overrides(overrides):
        lay_over(raw, key, value)
    return validate(model, raw, str(path))


def validate(model: type[S], raw: dict[str, Any], where: str) -> S:
    """Validate a mapping; raises InputError with one line for the first thing wrong."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(model, error)}") from None


def parse_overrides(arguments: Sequence[str]) -> list[tuple[str, Any]]:
    """Turn `--a.b value` and `--a.b=value` into (key, value) pairs; values are read as JSON or YAML scalars."""
    pairs: list[tuple[str, Any]] = []
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("--") or len(flag) < 3:
            raise InputError(f"argument {flag!r}: settings are given as --key value, for example --training.epochs 2")
        key, equals, value = flag[2:].partition("=")
        if not equals:
            if not rest:
                raise InputError(f"argument --{key}: a value is missing, for example --{key} VALUE")
            value = rest.pop(0)
        pairs.append((key, _parse_value(key, value)))
    return pairs


def _parse_value(key: str, value: str) -> Any:
    if value[:1] in "[{":
        try:
            return json.loads(value)
        except json.JSONDecodeError as error:
            raise InputError(f"argument --{key}: not valid JSON ({error.msg} at character {error.pos + 1})") from None
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        return value
    return parsed if isinstance(parsed, (bool, int, float, str, types.NoneType)) else value


def lay_over(raw: dict[str, Any], key: str, value: Any) -> None:
    """Set the value of a key such as `a.b` in nested mappings. Raises InputError where a part of it is no object."""
    *parents, last = key.split(".")
    place = raw
    for depth, name in enumerate(parents):
        held = place.setdefault(name, {})
        if not isinstance(held, dict):
            path = ".".join(parents[: depth + 1])
            raise InputError(f"argument --{key}: {path} is not an object; give it whole, as --{path} JSON")
        place = held
    place[last] = value


def _explain(model: type[BaseModel], error: ValidationError) -> str:
    first = error.errors(include_url=False)[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = _known_keys(model, first["loc"][:-1])
        unknown = str(first["loc"][-1])
        near = difflib.get_close_matches(unknown, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known keys here: {', '.join(known)}"
        return f"unknown setting {path!r}; {hint}"
    if first["type"] in {"union_tag_not_found", "union_tag_invalid"}:
        kinds = [tag for kind in _followed(model, first["loc"]) if "kind" in kind.model_fields for tag in _tags(kind)]
        given = first["ctx"].get("tag")
        return f"setting {path + '.kind'!r}: must be one of {', '.join(kinds)}" + (
            f", not {given!r}" if given is not None else ""
        )
    value = first.get("input")
    shown = "" if isinstance(value, dict | list) else f", not {value!r}"
    return f"setting {path!r}: {first['msg'][0].lower()}{first['msg'][1:]}{shown}"


def _known_keys(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """List the keys of the settings classes that a path leads to."""
    return list(dict.fromkeys(name for kind in _followed(model, path) for name in kind.model_fields))


def _followed(model: type[BaseModel], path: Sequence[str | int]) -> list[type[BaseModel]]:
    """Follow a path of keys, list indices and union tags to the settings classes behind it."""
    kinds: list[Any] = [model]
    for part in path:
        following: list[Any] = []
        for kind in kinds:
            following += _step(kind, part)
        kinds = following or kinds
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _tags(kind: type[BaseModel]) -> tuple[str, ...]:
    return get_args(kind.model_fields["kind"].annotation)


def _step(kind: Any, part: str | int) -> list[Any]:
    """Follow one part of an error's path from a class to the classes behind it."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return []
    if isinstance(part, str) and part in kind.model_fields:
        return _classes(kind.model_fields[part].annotation)
    tag = kind.model_fields.get("kind")
    return [kind] if isinstance(part, int) or (tag is not None and part in get_args(tag.annotation)) else []


def _classes(annotation: Any) -> list[Any]:
    """List the settings classes inside an annotation such as list[A | B] or A | None."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return [annotation] if issubclass(annotation, BaseModel) else []
    found: list[Any] = []
    for argument in get_args(annotation) if get_origin(annotation) in (Union, types.UnionType, Annotated, list) else []:
        found += _classes(argument)
    return found

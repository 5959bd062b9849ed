"""Settings shared by several packages, and the loading of settings from a run file and the command line.

Each package defines the settings of its own part of the run file. Settings that several packages read are defined here.
Unknown keys are errors; the message names the closest known key.
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
    """Base class of all settings. Rejects unknown keys and accepts numbers for string settings."""

    model_config = ConfigDict(extra="forbid", coerce_numbers_to_str=True)


class CollectionSettings(Settings):
    """The documents, the queries to label, and the judged test queries."""

    source: str = Field(
        "pydoc",
        description="`pydoc` (the bundled collection), `beir:`, `trec:` or `parquet:` followed by a folder or URI, or "
        "`ir_datasets:<id>`.",
    )
    use: Literal["both", "label", "test"] = Field(
        "both",
        description="Use of the judged queries. `both`: a collection with a separate test split is tested on it; "
        "otherwise half of the judged queries are test queries and half can be labelled. `label`: all can be labelled, "
        "there is no test set. `test`: all are test queries.",
    )


class NamedRetrieverSettings(Settings):
    """Base class of retriever settings. `name` names the candidate list."""

    kind: str
    name: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
        description="Name of the candidate list. Null: the retriever's kind; for a run, the file name without its "
        "suffix.",
    )

    @property
    def called(self) -> str:
        """Name of the candidate list in files and tables."""
        return self.name or self.kind


class Bm25Settings(NamedRetrieverSettings):
    """BM25 (Lucene variant of bm25s) with English stop words and the Snowball stemmer."""

    kind: Literal["bm25"] = "bm25"
    k1: float = Field(0.9, gt=0, description="Term frequency saturation.")
    b: float = Field(0.4, ge=0, le=1, description="Length normalisation.")


class DenseSettings(NamedRetrieverSettings):
    """Dense retrieval with a sentence encoder."""

    kind: Literal["dense"] = "dense"
    model: str = Field(
        "minilm", description="`minilm`, or the folder or Hugging Face id of a sentence-transformers model."
    )
    search: Literal["exact", "faiss"] = Field(
        "exact",
        description="`exact`: brute-force search. `faiss`: approximate search with an HNSW graph, for tens of millions "
        "of documents; needs faiss-cpu.",
    )


class RunRetrieverSettings(NamedRetrieverSettings):
    """Rankings of another system over the collection's documents."""

    kind: Literal["run"] = "run"
    path: str = Field(description="TREC run file, or RankLLM results (.json or .jsonl), with the collection's ids.")

    @property
    def called(self) -> str:
        """Name of the candidate list: `name`, or the run file's stem."""
        return self.name or Path(self.path).stem


class ParquetRetrieverSettings(NamedRetrieverSettings):
    """Candidate lists that include their texts. The collection is not searched."""

    kind: Literal["parquet"] = "parquet"
    path: str = Field(
        description="Parquet file or folder, as a path or URI. One row per query with columns query_id, text and "
        "candidates. A candidate has doc_id, text, and optionally title and score. Candidates are ordered best first."
    )


RetrieverSettings = Annotated[
    Bm25Settings | DenseSettings | RunRetrieverSettings | ParquetRetrieverSettings, Field(discriminator="kind")
]


def _default_retrievers() -> list[RetrieverSettings]:
    return [Bm25Settings(), DenseSettings()]


class CandidateSettings(Settings):
    """First-stage retrieval: the top `depth` of each retriever, merged by reciprocal rank fusion."""

    retrievers: list[RetrieverSettings] = Field(
        default_factory=_default_retrievers,
        min_length=1,
        description="Retrievers to fuse. A retriever of kind `parquet` must be the only one.",
    )
    depth: int = Field(50, ge=2, description="Candidates per query.")

    @model_validator(mode="after")
    def _check_retrievers(self) -> CandidateSettings:
        names = [retriever.called for retriever in self.retrievers]
        if len(set(names)) != len(names):
            raise ValueError(f"retriever names must be unique, but are {', '.join(names)}")
        if len(names) > 1 and any(isinstance(retriever, ParquetRetrieverSettings) for retriever in self.retrievers):
            raise ValueError(f"a retriever of kind parquet must be the only one, but there are {len(names) - 1} more")
        return self

    @property
    def given(self) -> ParquetRetrieverSettings | None:
        """The parquet retriever, if the run uses one; else None."""
        first = self.retrievers[0]
        return first if isinstance(first, ParquetRetrieverSettings) else None


class PreRankerSettings(Settings):
    """The pre-ranker: a cheap model that selects the candidates shown to the teacher."""

    model: str = Field("minilm", description="Sentence encoder: `minilm`, a folder or a Hugging Face id.")
    top: int = Field(10, ge=1, description="Candidates selected from the top of its ranking.")
    bottom: int = Field(10, ge=0, description="Candidates selected from the bottom of its ranking.")


class AuditSettings(Settings):
    """Audit of a listwise teacher on a sample of lists."""

    lists: int = Field(
        100,
        ge=1,
        description="Lists sampled from the log, and the same number from the test queries if there are judgements.",
    )
    orders: int = Field(
        2, ge=1, description="Prompt orders per list. With 2 or more, the teacher's self-consistency is measured."
    )
    seed: int = Field(13, description="Seed of the sample and of the bootstrap intervals.")


class AblationSettings(Settings):
    """Ablation study: students that differ in one setting, trained on the same labels for the same number of steps."""

    arms: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="Setting overrides of each arm, by arm name: keys such as `training.loss`, or "
        "`student.term_control.form` for the run's first student. The first arm is the baseline of the comparisons.",
    )
    seeds: list[int] = Field(
        default_factory=lambda: [13, 14, 15],
        min_length=1,
        description="Training seeds. Every arm is trained once per seed.",
    )


S = TypeVar("S", bound=Settings)


def load_settings(model: type[S], path: Path, overrides: Sequence[str]) -> S:
    """Read a run file, apply the command line's `--a.b value` overrides, and validate the result.

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
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(f"{path}{line}: not valid YAML ({getattr(error, 'problem', 'malformed')})") from None
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise InputError(f"{path}: a run file must be a mapping of keys to values, not a {type(raw).__name__}")
    for key, value in parse_overrides(overrides):
        lay_over(raw, key, value)
    return validate(model, raw, str(path))


def validate(model: type[S], raw: dict[str, Any], where: str) -> S:
    """Validate a mapping of settings.

    Args:
        where: Source of the settings, the prefix of error messages.

    Raises:
        InputError: A setting is invalid. The message is one line about the first error.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise InputError(f"{where}: {_explain(model, error)}") from None


def parse_overrides(arguments: Sequence[str]) -> list[tuple[str, Any]]:
    """Parse `--a.b value` and `--a.b=value` into (key, value) pairs. Values are parsed as JSON or YAML scalars.

    Raises:
        InputError: An argument is not of this form, a value is missing, or a JSON value is invalid.
    """
    pairs: list[tuple[str, Any]] = []
    rest = list(arguments)
    while rest:
        flag = rest.pop(0)
        if not flag.startswith("--") or len(flag) < 3:
            raise InputError(f"argument {flag!r}: expected --key value, for example --training.epochs 2")
        key, equals, value = flag[2:].partition("=")
        if not equals:
            if not rest:
                raise InputError(f"argument --{key}: the value is missing, expected --{key} VALUE")
            value = rest.pop(0)
        pairs.append((key, _parse_value(key, value)))
    return pairs


def _parse_value(key: str, value: str) -> Any:
    """Parse a JSON list or object, or a YAML scalar. Anything else remains a string."""
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
    """List the keys of the settings classes at a path."""
    return list(dict.fromkeys(name for kind in _resolve(model, path) for name in kind.model_fields))


def _resolve(model: type[BaseModel], path: Sequence[str | int]) -> list[type[BaseModel]]:
    """Resolve a path of keys, list indices and union tags to the settings classes at its end."""
    kinds: list[Any] = [model]
    for part in path:
        resolved: list[Any] = []
        for kind in kinds:
            resolved += _step(kind, part)
        kinds = resolved or kinds
    return [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]


def _tags(kind: type[BaseModel]) -> tuple[str, ...]:
    """List the values of a class's union tag, `kind`."""
    return get_args(kind.model_fields["kind"].annotation)


def _step(kind: Any, part: str | int) -> list[Any]:
    """Resolve one part of a validation error's path to settings classes."""
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
    classes: list[Any] = []
    for argument in get_args(annotation) if get_origin(annotation) in (Union, types.UnionType, Annotated, list) else []:
        classes += _classes(argument)
    return classes

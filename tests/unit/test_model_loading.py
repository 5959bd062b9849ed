"""No call that loads a model may run code from the model's folder, and every Hub model can be pinned to a revision."""

import ast
import re

import pytest

from ranking.errors import InputError
from ranking.run_file import load_settings, validate
from ray_jobs.common.run_settings import RunSettings
from tests.testing.facts import ROOT

PACKAGES = ("ranking", "students", "actors", "ray_jobs", "tools", "benchmarks", "examples")
LOADERS = {
    "from_pretrained",
    "from_config",
    "LLM",
    "EngineArgs",
    "AsyncEngineArgs",
    "SentenceTransformer",
    "CrossEncoder",
}
COMMIT = re.compile(r"[0-9a-f]{40}")
HUB_ID = "organisation/model"
LISTWISE = {"kind": "listwise", "model": HUB_ID}
WRITER = {"kind": "llm", "model": HUB_ID}
GPT = {"kind": "rra_gpt", "base": HUB_ID}


def loading_calls(source):
    """Yield the calls in a source text that load a model, a tokenizer or a configuration."""
    for call in ast.walk(ast.parse(source)):
        if isinstance(call, ast.Call):
            name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
            if name in LOADERS:
                yield call


def unsafe_calls(source):
    """Return the lines of calls that load a model without the literal argument trust_remote_code=False."""
    return [
        call.lineno
        for call in loading_calls(source)
        if not any(
            keyword.arg == "trust_remote_code"
            and isinstance(keyword.value, ast.Constant)
            and keyword.value.value is False
            for keyword in call.keywords
        )
    ]


def unpinned_calls(source):
    """Return the lines of calls that may load from the Hub, but pass no revision.

    A first argument with the name `folder` is a local folder. A configuration is already loaded.
    """
    return [
        call.lineno
        for call in loading_calls(source)
        if ast.unparse(call.func).rpartition(".")[2] != "from_config"
        and not (call.args and ast.unparse(call.args[0]) == "folder")
        and not {"revision", None} & {keyword.arg for keyword in call.keywords}
    ]


def found_in(packages, search):
    """Return {file: lines} of a search in all source files of some packages."""
    files = [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]
    lines = {str(path.relative_to(ROOT)): search(path.read_text(encoding="utf-8")) for path in files}
    assert len(files) > 50
    return {path: found for path, found in lines.items() if found}


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("AutoModel.from_pretrained(path)", [1]),
        ("\nLLM(path, trust_remote_code=True)", [2]),
        ("LLM(path, trust_remote_code=trusted)", [1]),
        ("CrossEncoder(path, **options)", [1]),
        ("CrossEncoder(path, trust_remote_code=False)", []),
    ],
)
def test_a_call_without_the_literal_false_is_unsafe(source, lines):
    assert unsafe_calls(source) == lines


def test_no_call_loads_code_of_a_model():
    assert found_in(PACKAGES, unsafe_calls) == {}


def test_every_call_that_may_load_from_the_hub_passes_a_revision():
    assert unpinned_calls("AutoModel.from_pretrained(path)\nAutoModel.from_pretrained(folder)") == [1]
    assert found_in(("ranking", "students", "actors", "ray_jobs"), unpinned_calls) == {}


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("teacher", LISTWISE),
        ("teacher", {"kind": "pointwise", "model": HUB_ID}),
        ("rationales", WRITER),
        ("pre_ranker", {"model": HUB_ID}),
        ("students", [{"kind": "rra_bert", "base": HUB_ID}]),
        ("students", [GPT]),
        ("candidates", {"retrievers": [{"kind": "dense", "model": HUB_ID}]}),
        ("evaluation", {"models": [{"name": "other", "model": HUB_ID}]}),
    ],
)
def test_every_hub_model_has_a_revision_that_a_local_model_must_not_have(section, value, tmp_path):
    resolved = validate(RunSettings, {section: pinned(value, HUB_ID)}, "run.yaml")
    assert "v1" in [owner["revision"] for owner in with_revision(resolved.model_dump()[section])]
    with pytest.raises(InputError) as error:
        validate(RunSettings, {section: pinned(value, str(tmp_path))}, "run.yaml")
    assert f"revision': value error, must be null for the local model {str(tmp_path)!r}, not 'v1'" in str(error.value)
    assert "\n" not in str(error.value)


def pinned(value, model):
    """Return nested settings with another model at the revision v1."""
    if isinstance(value, list):
        return [pinned(part, model) for part in value]
    if not isinstance(value, dict):
        return value
    owner = {name: model if name in ("model", "base") else pinned(part, model) for name, part in value.items()}
    return owner | ({"revision": "v1"} if {"model", "base"} & owner.keys() else {})


@pytest.mark.parametrize(("section", "value"), [("teacher", LISTWISE), ("rationales", WRITER)])
def test_an_engine_argument_cannot_turn_remote_code_on(section, value):
    with pytest.raises(InputError, match="models that bring their own code are not supported"):
        validate(RunSettings, {section: {**value, "engine": {"trust_remote_code": True}}}, "run.yaml")
    resolved = validate(
        RunSettings, {section: {**value, "engine": {"trust_remote_code": False, "seed": 1}}}, "run.yaml"
    )
    assert getattr(resolved, section).engine == {"seed": 1}


def test_production_pins_every_hub_model_to_a_commit():
    settings = load_settings(RunSettings, ROOT / "configs" / "production.yaml").model_dump()
    pins = [(owner.get("model") or owner.get("base"), owner["revision"]) for owner in with_revision(settings)]
    assert len(pins) == 6
    assert all("/" in model and COMMIT.fullmatch(revision) for model, revision in pins), pins


def with_revision(settings):
    """Yield all objects in nested settings that have the key `revision`."""
    values = settings.values() if isinstance(settings, dict) else settings if isinstance(settings, list) else []
    if isinstance(settings, dict) and "revision" in settings:
        yield settings
    for value in values:
        yield from with_revision(value)

"""Jobs refuse unsuitable models with exit code 2 and one line on stderr, before Ray or an engine starts."""

import json
import sys

import pytest

from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.teachers.teacher_models import check_teacher_model, limit_note
from ray_jobs import audit, candidates, evaluate, generate, index, label, pipeline, rationales, train
from ray_jobs.common import model_checks
from ray_jobs.common.run import job, open_run
from tools.tiny_models import tiny_bert, tiny_generator


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Write tiny models, and return their folders as texts by name."""
    folder = tmp_path_factory.mktemp("models")
    made = {
        "encoder": tiny_bert(folder / "encoder"),
        "one": tiny_bert(folder / "one", ["relevant"]),
        "two": tiny_bert(folder / "two", ["irrelevant", "relevant"]),
        "generator": tiny_generator(folder / "generator"),
    }
    return {name: str(path) for name, path in made.items()}


@pytest.fixture
def arguments(dataset, tmp_path):
    """Return a function that makes the arguments of a job with some settings."""

    def make(**settings):
        fixed = {"storage": str(tmp_path / "runs"), "collection.source": f"beir:{dataset}", **settings}
        values = {name: value if isinstance(value, str) else json.dumps(value) for name, value in fixed.items()}
        return [str(dataset / "run.yaml"), *(part for name, value in values.items() for part in (f"--{name}", value))]

    return make


def student(model):
    return [{"name": "s", "kind": "rra_bert", "base": model, "max_length": 32}]


CASES = [
    (label, "teacher", "two", lambda model: {"kind": "pointwise", "form": "score", "model": model}, "has 2 labels"),
    (
        label,
        "teacher",
        "generator",
        lambda model: {"kind": "pointwise", "form": "score", "model": model},
        "use form: yes_no",
    ),
    (
        label,
        "teacher",
        "one",
        lambda model: {"kind": "pointwise", "form": "embed", "model": model},
        "has no embeddings of texts",
    ),
    (
        label,
        "teacher",
        "one",
        lambda model: {"kind": "pointwise", "form": "yes_no", "model": model},
        "is not a language model",
    ),
    (label, "teacher", "encoder", lambda model: {"kind": "listwise", "model": model}, "is not a language model"),
    (audit, "teacher", "encoder", lambda model: {"kind": "listwise", "model": model}, "is not a language model"),
    (label, "pre_ranker", "two", lambda model: {"model": model}, "has no embeddings of texts"),
    (rationales, "rationales", "one", lambda model: {"kind": "llm", "model": model}, "is not a language model"),
    (
        candidates,
        "candidates",
        "one",
        lambda model: {"retrievers": [{"kind": "dense", "model": model}]},
        "has no embeddings of texts",
    ),
    (
        generate,
        "queries",
        "encoder",
        lambda model: {"generate": {"kind": "llm", "model": model}},
        "queries.generate.model",
    ),
    (
        pipeline,
        "queries",
        "one",
        lambda model: {"generate": {"kind": "llm", "model": model}},
        "is not a language model",
    ),
    (train, "students", "generator", student, "qwen3 is a decoder"),
    (pipeline, "students", "generator", student, "qwen3 is a decoder"),
    (
        evaluate,
        "evaluation",
        "two",
        lambda model: {"models": [{"name": "theirs", "model": model}]},
        "setting 'evaluation.models', 'theirs': model",
    ),
    (
        evaluate,
        "evaluation",
        "encoder",
        lambda model: {"judge": {"kind": "llm", "model": model}},
        "evaluation.judge.model",
    ),
    (
        pipeline,
        "evaluation",
        "generator",
        lambda model: {"models": [{"name": "theirs", "model": model}]},
        "is a language model",
    ),
]


@pytest.mark.parametrize(("module", "section", "model", "value", "message"), CASES)
def test_job_ends_with_one_line(module, section, model, value, message, models, arguments, monkeypatch, capsys):
    monkeypatch.setattr("ray_jobs.common.run.signal.signal", lambda *_: None)
    settings = {"students": []} if module is evaluate else {}
    with pytest.raises(SystemExit) as ended:
        job(module.main, module.READS, arguments(**settings, **{section: value(models[model])}), exclusive=False)
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert models[model] in error
    assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()


def test_encoder_is_checked_before_texts_are_encoded(models, arguments):
    run = open_run(arguments(candidates={"retrievers": [{"kind": "dense", "model": models["one"]}]}))
    with pytest.raises(Exception, match=r"candidates\.retrievers: model .*has no embeddings of texts"):
        index.encode_texts(run)


@pytest.mark.parametrize("encoder", ["sentence-transformers", "vllm"])
def test_encoder_is_checked_for_either_library(encoder, models, arguments):
    settings = {"pre_ranker": {"model": models["generator"]}, "compute.encoder": encoder}
    run = open_run(arguments(**settings))
    with pytest.raises(Exception, match=r"pre_ranker\.model .* without pooling"):
        model_checks.check(run, ["labels"])


def test_finished_stages_need_no_model(models, arguments):
    run = open_run(
        arguments(teacher={"kind": "pointwise", "form": "score", "model": models["two"]}, pre_ranker=None, students=[])
    )
    with pytest.raises(Exception, match="has 2 labels"):
        model_checks.check(run, ["candidates", "labels"])
    for stage in (run.plan.candidates, run.plan.labels):
        stage.begin()
        stage.finish(rows_in=0, rows_out=0)
    model_checks.check(run, ["candidates", "labels"])


def test_overridden_language_model_is_a_cross_encoder(models):
    engine = {"hf_overrides": {"classifier_from_token": ["no", "yes"]}}
    check_teacher_model(PointwiseTeacherSettings(form="score", model=models["generator"], engine=engine))


def test_note_names_the_limit_that_truncates_inputs(models):
    settings = PointwiseTeacherSettings(form="score", model=models["one"], max_tokens=128)
    assert (
        limit_note(settings) == f"teacher.max_tokens is 128, but {models['one']} reads 64; longer inputs are truncated"
    )
    assert limit_note(settings.model_copy(update={"max_tokens": 64})) is None
    shorter = settings.model_copy(update={"max_tokens": 64, "engine": {"max_model_len": 32}})
    assert "reads 32" in limit_note(shorter)
    automatic = settings.model_copy(update={"max_tokens": 64, "engine": {"max_model_len": -1}})
    assert limit_note(automatic) is None

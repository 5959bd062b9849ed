"""Which settings of a model change its cache: those that change its answers, and no others."""

import json

import pytest

from actors.rationales.rationale_settings import LlmRationaleSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from ray_jobs.common.identities import rationales_identity, teacher_identity
from ray_jobs.common.run import open_run
from tests.testing.run_fingerprints import AFTER_LABELS, fingerprints


def test_listwise_cache_depends_on_the_prompt_but_not_on_merging(dataset, tmp_path):
    def fingerprints_with(**more):
        return fingerprints(dataset, "--teacher", json.dumps({"kind": "listwise", "model": "m", **more}))

    prompt = tmp_path / "prompt.yaml"
    prompt.write_text("{system: '', opening: Rank., document: '[{number}] {text}', closing: '{query}'}")
    first = fingerprints_with()
    assert (
        fingerprints_with(max_attempts=5)["teacher cache"]
        == fingerprints_with(orders=3, merge="borda")["teacher cache"]
        == first["teacher cache"]
    )
    assert fingerprints_with(orders=3)["labels"] != first["labels"]
    assert fingerprints_with(prompt=str(prompt))["teacher cache"] != first["teacher cache"]
    assert fingerprints_with(max_document_tokens=99)["teacher cache"] != first["teacher cache"]


def hosted_teacher(backend="openai", **hosted):
    return json.dumps(
        {"kind": "listwise", "model": "m", "backend": backend, "hosted": {"url": "https://a/v1", **hosted}}
    )


@pytest.mark.parametrize(
    ("changes", "same"),
    [
        ({"api_key_env": "OTHER_KEY", "workers": 4, "concurrency": 2, "timeout_seconds": 9}, True),
        ({"requests_per_minute": 60, "tokens_per_minute": 6, "max_retries": 1, "max_wait_seconds": 3}, True),
        ({"input_price": 1.0, "output_price": 2.0, "batch_requests": 9, "batch_megabytes": 9}, True),
        ({"url": "http://a/other"}, True),
        ({"backend": "batch"}, True),
        ({"url": "https://b/v1"}, False),
        ({"structured": "none"}, False),
        ({"body": {"top_p": 0.5}}, False),
        ({"max_output_tokens": 9}, False),
        ({"tokenizer": "minilm-list"}, False),
    ],
)
def test_hosted_answers_depend_on_host_and_sampling_only(changes, same, dataset):
    before = fingerprints(dataset, "--teacher", hosted_teacher())
    after = fingerprints(dataset, "--teacher", hosted_teacher(**changes))
    assert (before == after) == same
    assert (before["teacher cache"] == after["teacher cache"]) == same


def test_backend_is_no_part_of_the_identity_of_a_model_in_vllm():
    settings = ListwiseTeacherSettings(model="a/b", revision="v1")
    identity, dumped = teacher_identity(settings), settings.model_dump()
    others = {"backend": "vllm", "hosted": None, "thinking": None}
    assert {**dumped, "prompt": identity["prompt"]} == {**identity, **others}
    thinking = ListwiseTeacherSettings(model="a/b", thinking={"budget": 99})
    assert teacher_identity(thinking)["thinking"]["budget"] == 99
    writer = LlmRationaleSettings(model="m")
    assert set(writer.model_dump()) - set(rationales_identity(writer)) == {"backend", "hosted"}
    hosted = ListwiseTeacherSettings.model_validate_json(hosted_teacher())
    assert not {"backend", "engine", "revision"} & set(teacher_identity(hosted))


@pytest.mark.parametrize(
    ("teacher", "same", "other"),
    [
        (
            {"kind": "pairwise"},
            [{"pairs": 4}, {"scores": "win_rate"}, {"method": "sliding", "passes": 3}],
            [{"answer": "logprobs"}, {"max_document_tokens": 99}],
        ),
        ({"kind": "setwise"}, [{"size": 5}, {"top": 3}, {"missing": "append"}], [{"answer": "text"}]),
        (
            {"kind": "pointwise", "form": "query_likelihood"},
            [{"likelihood": "mean"}],
            [{"max_tokens": 99}, {"form": "yes_no"}],
        ),
    ],
)
def test_caches_of_comparisons_do_not_depend_on_the_method(teacher, same, other, dataset):
    def fingerprints_with(**more):
        return fingerprints(dataset, "--teacher", json.dumps({"model": "m", **teacher, **more}))

    first = fingerprints_with()
    for settings in same:
        after = fingerprints_with(**settings)
        assert after["teacher cache"] == first["teacher cache"]
        assert after["labels"] != first["labels"]
    for settings in other:
        assert fingerprints_with(**settings)["teacher cache"] != first["teacher cache"]


def test_prompts_of_comparisons_change_labels_and_cache(dataset, tmp_path):
    prompt = tmp_path / "prompt.yaml"
    prompt.write_text("{system: '', opening: '', document: '{letter} {text}', closing: '{query}'}")
    values = [{"kind": "setwise", "model": "m"}, {"kind": "setwise", "model": "m", "prompt": str(prompt)}]
    before, after = (fingerprints(dataset, "--teacher", json.dumps(value)) for value in values)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {*AFTER_LABELS, "test/labels", "teacher cache"}


def test_writer_cache_depends_on_the_prompt_but_not_on_list_size(dataset, tmp_path):
    def cache_and_stage(**more):
        rationales = json.dumps({"kind": "llm", "model": "m", **more})
        run = open_run(
            [
                str(dataset / "run.yaml"),
                "--collection.source",
                f"beir:{dataset}",
                "--storage",
                str(dataset / "runs"),
                "--rationales",
                rationales,
            ]
        )
        return run.plan.rationales_cache.uri, run.plan.rationales.fingerprint

    prompt = tmp_path / "prompt.yaml"
    prompt.write_text("{system: '', opening: Why., document: '{text}', closing: '{query} {label}'}")
    cache, stage = cache_and_stage()
    assert cache_and_stage(rationales_per_list=8)[0] == cache
    assert cache_and_stage(rationales_per_list=8)[1] != stage
    for more in ({"prompt": str(prompt)}, {"max_tokens": 50}, {"model": "n"}):
        assert cache_and_stage(**more)[0] != cache
        assert cache_and_stage(**more)[1] != stage


def test_changed_yes_no_prompt_makes_another_teacher_with_its_own_cache(dataset, tmp_path):
    prompt = tmp_path / "prompt.yaml"

    def fingerprints_of(form):
        teacher = {"kind": "pointwise", "form": form, "model": "m", "prompt": str(prompt)}
        by_stage = fingerprints(dataset, "--teacher", json.dumps(teacher))
        return by_stage["teacher cache"], by_stage["labels"], by_stage["test/labels"]

    words = "{{system: Say yes or no., pair: 'Does {{document}} answer {{query}}? {}'}}"
    prompt.write_text(words.format("Judge."))
    before = {form: fingerprints_of(form) for form in ("yes_no", "embed")}
    prompt.write_text(words.format("Be strict."))
    assert not {*fingerprints_of("yes_no")} & {*before["yes_no"]}
    assert fingerprints_of("embed") == before["embed"]

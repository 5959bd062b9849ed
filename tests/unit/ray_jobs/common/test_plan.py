"""A changed setting changes the fingerprints of the stages that depend on it, and no others."""

import json
import shutil

import pytest

from actors.rationales.rationale_settings import LlmRationaleSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from ranking.errors import InputError
from ray_jobs.common import plan as plan_module
from ray_jobs.common.identities import rationales_identity, teacher_identity
from ray_jobs.common.run import open_run
from students.student_settings import RraBertSettings

STAGES = {
    "queries": lambda run: run.plan.queries,
    "index": lambda run: run.plan.index,
    "candidates": lambda run: run.plan.candidates,
    "test/candidates": lambda run: run.plan.test_candidates,
    "labels": lambda run: run.plan.labels,
    "test/labels": lambda run: run.plan.test_labels,
    "rationales": lambda run: run.plan.rationales,
    "student": lambda run: run.plan.student(run.settings.students[0]),
    "evaluation": lambda run: run.plan.evaluation,
    "teacher cache": None,
}
AFTER_LABELS = {"labels", "rationales", "student", "evaluation"}


def fingerprints(dataset, *overrides):
    run = open_run(
        [
            str(dataset / "run.yaml"),
            "--collection.source",
            f"beir:{dataset}",
            "--storage",
            str(dataset / "runs"),
            *overrides,
        ]
    )
    stages = {name: stage(run).fingerprint for name, stage in STAGES.items() if stage}
    return {**stages, "teacher cache": run.plan.teacher_cache.uri}


def test_other_keys_of_metrics_json_only_repeat_the_evaluation(dataset, monkeypatch):
    before = fingerprints(dataset)
    monkeypatch.setattr(plan_module, "SCHEMA_VERSION", plan_module.SCHEMA_VERSION + 1)
    after = fingerprints(dataset)
    assert {name for name in before if before[name] != after[name]} == {"evaluation"}


@pytest.mark.parametrize(
    ("setting", "value", "changed"),
    [
        ("evaluation.seed", "14", {"evaluation"}),
        ("evaluation.first_stages", '["bm25"]', {"test/labels", "evaluation"}),
        ("training.validation_fraction", "0.2", {*AFTER_LABELS}),
        ("training.epochs", "3", {"student", "evaluation"}),
        ("training.confidence.min_confidence", "0.5", {"student", "evaluation"}),
        ("rationales.kind", "extractive", {"rationales"}),
        ("pre_ranker.top", "5", {*AFTER_LABELS}),
        ("passages", "{}", {*AFTER_LABELS, "test/labels"}),
        ("teacher.max_tokens", "64", {*AFTER_LABELS, "test/labels", "teacher cache"}),
        ("queries.long_tail.min_terms", "2", {"queries", "candidates", *AFTER_LABELS}),
        ("candidates.depth", "20", {"candidates", "test/candidates", "test/labels", *AFTER_LABELS}),
        ("collection.language", "german", set(STAGES) - {"teacher cache"}),
        ("collection.language", "english", set()),
        ("training.clicks", "null", set()),
        ("clicks.depth", "20", set()),
        ("serving.port", "9000", set()),
        ("serving.replicas", "3", {"evaluation"}),
        ("compute.engine_hour_price", "2", {"evaluation"}),
        ("compute.cpu_actors", "1", set()),
        ("storage", "elsewhere", {"teacher cache"}),
    ],
)
def test_setting_changes_only_dependent_stages(setting, value, changed, dataset, monkeypatch):
    monkeypatch.chdir(dataset)
    before, after = fingerprints(dataset), fingerprints(dataset, f"--{setting}", value)
    assert {name for name in before if before[name] != after[name]} == changed


def test_candidates_depend_on_the_engine_but_not_on_keys_or_retries(dataset, monkeypatch):
    def with_engine(**changes):
        engine = {"kind": "http_search", "url": "http://engine/search", "body": {"q": "{query}"}, **changes}
        return fingerprints(dataset, "--candidates.retrievers", json.dumps([engine]))

    before = with_engine(headers={"Authorization": "ApiKey ${ENGINE_KEY}"})
    monkeypatch.setenv("ENGINE_KEY", "another")
    assert with_engine(headers={"Authorization": "ApiKey ${ENGINE_KEY}"}, retries=1, concurrency=2) == before
    after = with_engine(headers={"Authorization": "ApiKey ${ENGINE_KEY}"}, body={"q": "{query}", "filter": "x"})
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"candidates", "test/candidates", "test/labels", *AFTER_LABELS}


def test_language_changes_a_student_of_other_labels(dataset, monkeypatch):
    monkeypatch.setattr(plan_module, "finished_manifest", lambda *_: None)
    monkeypatch.setattr(plan_module, "merged_fingerprint", lambda *_: "labels")
    arguments = [str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(dataset / "r")]
    arguments += ["--training.labels", '["elsewhere"]']
    runs = [open_run([*arguments, "--collection.language", language]) for language in ("english", "german")]
    english, german = (run.plan.student(run.settings.students[0]) for run in runs)
    assert english.fingerprint != german.fingerprint
    assert "language" not in english.settings
    assert german.settings["language"] == "german"


def test_another_revision_of_a_hub_model_changes_the_stages_that_use_it(dataset):
    def changed(section, value):
        values = [{**value, "revision": revision} for revision in ("v1", "v2")]
        if section in ("students", "candidates.retrievers", "evaluation.models"):
            values = [[one] for one in values]
        before, after = (fingerprints(dataset, f"--{section}", json.dumps(one)) for one in values)
        return {name for name in before if before[name] != after[name]}

    test_lists = {"test/candidates", "test/labels"}
    assert changed("teacher", {"kind": "listwise", "model": "a/b"}) == {*AFTER_LABELS, "test/labels", "teacher cache"}
    assert changed("pre_ranker", {"model": "a/b"}) == AFTER_LABELS
    assert changed("candidates.retrievers", {"kind": "dense", "model": "a/b"}) == {
        "candidates",
        *test_lists,
        *AFTER_LABELS,
    }
    assert changed("rationales", {"kind": "llm", "model": "a/b"}) == {"rationales"}
    assert changed("students", {"kind": "rra_bert", "base": "a/b"}) == {"student", "evaluation"}
    assert changed("evaluation.models", {"name": "other", "model": "a/b"}) == {"evaluation"}


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


def test_preset_can_be_set_by_a_flag(dataset):
    run = open_run(
        [str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--teacher.preset", "bge-reranker-v2-m3"]
    )
    assert (run.settings.teacher.form, run.settings.teacher.max_tokens) == ("score", 1024)


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


def test_changed_weights_in_the_base_folder_change_the_student(dataset, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"some weights")

    def student():
        return fingerprints(
            dataset, "--students", json.dumps([{"name": "s", "kind": "rra_bert", "base": str(tmp_path)}])
        )["student"]

    before = student()
    assert student() == before
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    changed = student()
    assert changed != before
    (tmp_path / "model.safetensors").write_bytes(b"some weights")
    (tmp_path / "README.md").write_text("words")
    assert student() == before


def test_trained_student_keeps_its_fingerprint_if_its_base_is_gone(dataset, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"some weights")
    overrides = [
        "--students",
        json.dumps([{"name": "s", "kind": "rra_bert", "base": str(base)}]),
        "--storage",
        str(tmp_path),
    ]
    run = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", *overrides])
    stage = run.plan.student(run.settings.students[0])
    stage.finish(rows_in=1, rows_out=1)
    shutil.rmtree(base)
    assert run.plan.student(run.settings.students[0]).fingerprint == stage.fingerprint


def test_default_score_scale_gives_the_fingerprint_of_its_value(dataset, tmp_path):
    for base in ("minilm-cross", "minilm", "any/other", str(tmp_path)):
        students = ("--students", json.dumps([{"name": "s", "kind": "rra_bert", "base": base}]))
        by_scale = {
            scale: fingerprints(dataset, *students, "--training.score_scale", scale)["student"]
            for scale in ("null", "8", "9")
        }
        assert by_scale["null"] == by_scale["8"] != by_scale["9"]


def test_score_scale_of_the_base_folder_changes_the_student(dataset, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"some weights")
    students = ["--students", json.dumps([{"name": "s", "kind": "rra_bert", "base": str(base)}])]

    def student(*overrides):
        storage = ("--storage", str(tmp_path / "runs"))
        arguments = ["--collection.source", f"beir:{dataset}", *students, *storage, *overrides]
        run = open_run([str(dataset / "run.yaml"), *arguments])
        return run.plan.student(run.settings.students[0])

    def set_scale(scale):
        manifest = f"{{license: mit, sha256: '{'0' * 64}', dtype: auto, max_tokens: 64, score_scale: {scale}}}"
        (base / "manifest.yaml").write_text(manifest)

    explicit = ("--training.score_scale", "8")
    without, fixed = student().fingerprint, student(*explicit).fingerprint
    set_scale(20)
    twenty = student()
    assert student(*explicit).fingerprint == fixed
    set_scale(30)
    assert len({without, twenty.fingerprint, student().fingerprint}) == 3
    twenty.finish(rows_in=1, rows_out=1)
    shutil.rmtree(base)
    assert student().fingerprint == twenty.fingerprint
    assert student(*explicit).fingerprint == fixed


def test_only_students_that_learn_from_rationales_depend_on_them(dataset):
    class RationaleStudentSettings(RraBertSettings):
        learns_from_rationales = True

    def run(kind):
        return open_run(
            [
                str(dataset / "run.yaml"),
                "--collection.source",
                f"beir:{dataset}",
                "--storage",
                str(dataset / "runs"),
                "--rationales.kind",
                kind,
            ]
        )

    without, extractive = run("none"), run("extractive")
    assert without.plan.student(RraBertSettings()).fingerprint == extractive.plan.student(RraBertSettings()).fingerprint
    assert (
        without.plan.student(RationaleStudentSettings()).fingerprint
        != extractive.plan.student(RationaleStudentSettings()).fingerprint
    )
    assert not without.plan.reads_rationales(RationaleStudentSettings())


def test_external_labels_count_by_content_not_by_location(dataset, tmp_path):
    def open_named(name, *overrides):
        source = f"beir:{dataset}"
        return open_run(
            [
                str(dataset / "run.yaml"),
                "--collection.source",
                source,
                "--storage",
                str(tmp_path),
                "--run",
                name,
                *overrides,
            ]
        )

    def student_trained_on(run):
        return fingerprints(dataset, "--training.labels", run.folder.path)["student"]

    same, other = open_named("same"), open_named("other", "--teacher.max_tokens", "64")
    with pytest.raises(
        InputError, match=r"setting 'training.labels': no finished labels in .*/same/labels; give the folder of a run"
    ):
        student_trained_on(same)
    for run in (same, other):
        run.plan.labels.finish(rows_in=1, rows_out=1)
    own = fingerprints(dataset)["student"]
    assert student_trained_on(same) == own
    assert student_trained_on(other) != own
    moved = shutil.copytree(other.folder.path, tmp_path / "moved")
    assert fingerprints(dataset, "--training.labels", str(moved))["student"] == student_trained_on(other)


def test_judgements_cannot_be_combined_with_external_labels(dataset):
    with pytest.raises(InputError, match="judgements of this run's own query log"):
        fingerprints(dataset, "--training.labels", "x", "--training.targets", "judgements")


def test_passages_are_in_no_fingerprint_if_they_are_off(dataset):
    run = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(dataset)])
    stages = [stage(run) for stage in STAGES.values() if stage] + [run.plan.audit]
    assert not any("passages" in stage.settings or "passage_encoder" in stage.settings for stage in stages)


def test_encoder_that_chooses_passages_changes_the_labels_of_test_queries(dataset):
    def test_labels(model, *overrides):
        pre_ranker = ("--pre_ranker", json.dumps({"model": model}))
        return fingerprints(dataset, *pre_ranker, *overrides)["test/labels"]

    assert test_labels("a/b") == test_labels("a/c")
    assert test_labels("a/b", "--passages", "{}") != test_labels("a/c", "--passages", "{}")
    shorter = test_labels("a/b", "--passages", '{"tokens": 100}')
    assert shorter != test_labels("a/b", "--passages", "{}")
    with_audit = [
        open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--passages", passages])
        for passages in ("null", "{}")
    ]
    assert len({run.plan.audit.fingerprint for run in with_audit}) == 2


def test_student_depends_on_the_last_estimates_from_clicks(dataset, tmp_path):
    arguments = ["--storage", str(tmp_path), "--training.clicks"]
    with pytest.raises(InputError, match=r"'training\.clicks': no estimates in .*x/clicks; run ray_jobs\.clicks first"):
        fingerprints(dataset, *arguments, "{}")
    run = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(tmp_path)])
    run.plan.clicks.finish(rows_in=0, rows_out=0)
    off, on = fingerprints(dataset, "--storage", str(tmp_path)), fingerprints(dataset, *arguments, "{}")
    assert {name for name in off if off[name] != on[name]} == {"student", "evaluation"}
    assert on != fingerprints(dataset, *arguments, '{"k": 7}')
    # new records make another snapshot possible, but do not retrain by themselves
    (tmp_path / "serving" / "exposures").mkdir(parents=True)
    (tmp_path / "serving" / "exposures" / "part-1.parquet").write_text("")
    assert fingerprints(dataset, *arguments, "{}") == on
    again = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(tmp_path)])
    assert again.plan.clicks.fingerprint != run.plan.clicks.fingerprint
    again.plan.clicks.finish(rows_in=0, rows_out=0)
    assert fingerprints(dataset, *arguments, "{}")["student"] != on["student"]


def test_training_settings_without_clicks_are_those_of_earlier_versions(dataset):
    run = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(dataset)])
    assert "clicks" not in run.plan.student(run.settings.students[0]).settings["training"]

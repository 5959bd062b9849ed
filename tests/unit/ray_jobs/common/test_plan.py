"""One changed setting changes the fingerprints of what depends on it, and of nothing else."""

import json
import shutil

import pytest

from ranking.errors import InputError
from ray_jobs.common import plan
from ray_jobs.common.run import open_run
from students.settings import RraBertSettings

STAGES = {
    "queries": plan.queries_stage,
    "index": plan.index_stage,
    "candidates": plan.candidates_stage,
    "test/candidates": lambda run: plan.candidates_stage(run, "test"),
    "labels": plan.labels_stage,
    "test/labels": lambda run: plan.labels_stage(run, "test"),
    "rationales": plan.rationales_stage,
    "student": lambda run: plan.student_stage(run, run.settings.students[0]),
    "evaluation": plan.evaluation_stage,
    "teacher memory": None,
}
LEARNED = {"labels", "rationales", "student", "evaluation"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plan")
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d", "text": "words"}) + "\n")
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{n}", "text": f"a query {n}"}) + "\n" for n in range(8))
    )
    (folder / "qrels.tsv").write_text("".join(f"q{n}\td\t1\n" for n in range(8)))
    (folder / "run.yaml").write_text("{run: x, candidates: {depth: 50}, teacher: {kind: pointwise}}")
    return folder


def fingerprints(place, *overrides):
    run = open_run(
        [str(place / "run.yaml"), "--collection.source", f"beir:{place}", "--storage", str(place / "runs"), *overrides]
    )
    found = {name: stage(run).fingerprint for name, stage in STAGES.items() if stage}
    return {**found, "teacher memory": plan.teacher_cache(run).uri}


@pytest.mark.parametrize(
    ("setting", "value", "changed"),
    [
        ("evaluation.seed", "14", {"evaluation"}),
        ("evaluation.first_stages", '["bm25"]', {"test/labels", "evaluation"}),
        ("training.validation_fraction", "0.2", {*LEARNED}),
        ("training.epochs", "3", {"student", "evaluation"}),
        ("training.confidence.min_confidence", "0.5", {"student", "evaluation"}),
        ("rationales.kind", "extractive", {"rationales"}),
        ("pre_ranker.top", "5", {*LEARNED}),
        ("teacher.max_tokens", "64", {*LEARNED, "test/labels", "teacher memory"}),
        ("queries.long_tail.min_terms", "2", {"queries", "candidates", *LEARNED}),
        ("candidates.depth", "20", {"candidates", "test/candidates", "test/labels", *LEARNED}),
        ("serving.port", "9000", set()),
        ("serving.replicas", "3", {"evaluation"}),
        ("compute.engine_hour_price", "2", {"evaluation"}),
        ("compute.cpu_actors", "1", set()),
        ("storage", "elsewhere", {"teacher memory"}),
    ],
)
def test_what_a_setting_changes(setting, value, changed, place, monkeypatch):
    monkeypatch.chdir(place)
    before, after = fingerprints(place), fingerprints(place, f"--{setting}", value)
    assert {name for name in before if before[name] != after[name]} == changed


def test_a_listwise_teacher_is_asked_anew_for_other_words_and_not_for_other_merging(place, tmp_path):
    def memory(**more):
        return fingerprints(place, "--teacher", json.dumps({"kind": "listwise", "model": "m", **more}))

    prompt = tmp_path / "prompt.yaml"
    prompt.write_text("{system: '', opening: Rank., document: '[{number}] {text}', closing: '{query}'}")
    first = memory()
    assert (
        memory(max_attempts=5)["teacher memory"]
        == memory(orders=3, merge="borda")["teacher memory"]
        == first["teacher memory"]
    )
    assert memory(orders=3)["labels"] != first["labels"]
    assert memory(prompt=str(prompt))["teacher memory"] != first["teacher memory"]
    assert memory(max_document_tokens=99)["teacher memory"] != first["teacher memory"]


def test_a_writer_is_asked_anew_for_other_words_and_not_for_more_candidates(place, tmp_path):
    def found(**more):
        rationales = json.dumps({"kind": "llm", "model": "m", **more})
        run = open_run(
            [
                str(place / "run.yaml"),
                "--collection.source",
                f"beir:{place}",
                "--storage",
                str(place / "runs"),
                "--rationales",
                rationales,
            ]
        )
        return plan.rationales_cache(run).uri, plan.rationales_stage(run).fingerprint

    prompt = tmp_path / "prompt.yaml"
    prompt.write_text("{system: '', opening: Why., document: '{text}', closing: '{query} {label}'}")
    memory, stage = found()
    assert found(rationales_per_list=8)[0] == memory
    assert found(rationales_per_list=8)[1] != stage
    for more in ({"prompt": str(prompt)}, {"max_tokens": 50}, {"model": "n"}):
        assert found(**more)[0] != memory
        assert found(**more)[1] != stage


def test_a_changed_prompt_of_yes_and_no_is_another_teacher_with_a_memory_of_its_own(place, tmp_path):
    prompt = tmp_path / "prompt.yaml"

    def found(form):
        teacher = {"kind": "pointwise", "form": form, "model": "m", "prompt": str(prompt)}
        held = fingerprints(place, "--teacher", json.dumps(teacher))
        return held["teacher memory"], held["labels"], held["test/labels"]

    words = "{{system: Say yes or no., pair: 'Does {{document}} answer {{query}}? {}'}}"
    prompt.write_text(words.format("Judge."))
    before = {form: found(form) for form in ("yes_no", "embed")}
    prompt.write_text(words.format("Be strict."))
    assert not {*found("yes_no")} & {*before["yes_no"]}
    assert found("embed") == before["embed"]


def test_other_weights_in_a_bases_folder_make_another_student(place, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"some weights")

    def student():
        return fingerprints(
            place, "--students", json.dumps([{"name": "s", "kind": "rra_bert", "base": str(tmp_path)}])
        )["student"]

    before = student()
    assert student() == before
    (tmp_path / "model.safetensors").write_bytes(b"other weights")
    changed = student()
    assert changed != before
    (tmp_path / "model.safetensors").write_bytes(b"some weights")
    (tmp_path / "README.md").write_text("words")
    assert student() == before


def test_a_trained_student_stays_what_it_is_where_its_base_is_gone(place, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    (base / "model.safetensors").write_bytes(b"some weights")
    given = [
        "--students",
        json.dumps([{"name": "s", "kind": "rra_bert", "base": str(base)}]),
        "--storage",
        str(tmp_path),
    ]
    run = open_run([str(place / "run.yaml"), "--collection.source", f"beir:{place}", *given])
    stage = plan.student_stage(run, run.settings.students[0])
    stage.finish(rows_in=1, rows_out=1)
    shutil.rmtree(base)
    assert plan.student_stage(run, run.settings.students[0]).fingerprint == stage.fingerprint


def test_only_a_student_that_learns_from_reasons_depends_on_them(place):
    class Reading(RraBertSettings):
        learns_from_rationales = True

    def run(kind):
        return open_run(
            [
                str(place / "run.yaml"),
                "--collection.source",
                f"beir:{place}",
                "--storage",
                str(place / "runs"),
                "--rationales.kind",
                kind,
            ]
        )

    without, extractive = run("none"), run("extractive")
    assert (
        plan.student_stage(without, RraBertSettings()).fingerprint
        == plan.student_stage(extractive, RraBertSettings()).fingerprint
    )
    assert plan.student_stage(without, Reading()).fingerprint != plan.student_stage(extractive, Reading()).fingerprint
    assert not plan.reads_rationales(without, Reading())


def test_labels_of_another_run_stand_in_for_the_own_wherever_they_lie(place, tmp_path):
    def made(name, *overrides):
        source = f"beir:{place}"
        return open_run(
            [
                str(place / "run.yaml"),
                "--collection.source",
                source,
                "--storage",
                str(tmp_path),
                "--run",
                name,
                *overrides,
            ]
        )

    def learned(run):
        return fingerprints(place, "--training.labels", run.folder.path)["student"]

    same, other = made("same"), made("other", "--teacher.max_tokens", "64")
    with pytest.raises(
        InputError, match=r"setting 'training.labels': no finished labels are in .*/same/labels; the folder of a run"
    ):
        learned(same)
    for run in (same, other):
        plan.labels_stage(run).finish(rows_in=1, rows_out=1)
    own = fingerprints(place)["student"]
    assert learned(same) == own
    assert learned(other) != own
    moved = shutil.copytree(other.folder.path, tmp_path / "moved")
    assert fingerprints(place, "--training.labels", str(moved))["student"] == learned(other)


def test_judgements_are_not_of_another_runs_labels(place):
    with pytest.raises(InputError, match="judgements are those of this run's own log"):
        fingerprints(place, "--training.labels", "x", "--training.targets", "judgements")

"""Runs with generated queries: stages, settings, recorded queries and the collection, without Ray."""

import json

import pytest

from ranking.errors import InputError
from ranking.generation.generated_ids import document_key
from ranking.records import DocumentQueries, GeneratedQuery
from ray_jobs import generate, serve
from ray_jobs.common.capacity_check import demands_of
from ray_jobs.common.run import open_run
from tests.testing.facts import FACTS

LLM = {"kind": "llm", "model": "m", "backend": "openai", "hosted": {"url": "http://h/v1", "api_key_env": None}}


@pytest.fixture
def folder(tmp_path):
    """A folder with documents and recorded queries for some of them, and a run file."""
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"_id": i, "text": text}) + "\n" for i, text in FACTS))
    rows = [{"doc_id": i, "text": f"what is {i} about", "style": "question"} for i, _ in FACTS[:8]]
    (tmp_path / "recorded.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "run.yaml").write_text("{run: x, teacher: {kind: pointwise}}")
    return tmp_path


@pytest.fixture
def opened(folder):
    """Return a function that opens a run with generated queries and other settings."""

    def call(generator=None, source=None, **settings):
        generator = generator or {"kind": "recorded", "path": str(folder / "recorded.jsonl"), "min_document_terms": 4}
        fixed = {"storage": str(folder / "runs"), "collection.source": source or f"beir:{folder}"}
        values = {**fixed, "queries.generate": json.dumps(generator), **settings}
        return open_run([str(folder / "run.yaml"), *(part for name in values for part in (f"--{name}", values[name]))])

    return call


def rows_of(split, *doc_ids):
    return [
        GeneratedQuery(
            query_id=f"{document_key(doc_id)}-1",
            text=f"what is {doc_id} about",
            doc_id=doc_id,
            style="question",
            status="ok",
            split=split,
            generator="g",
        )
        for doc_id in doc_ids
    ]


def finish(run, rows):
    stage = run.plan.generation.queries
    stage.begin()
    stage.folder.write_rows("part-a.parquet", rows)
    stage.finish(rows_in=len(rows), rows_out=len(rows))


def test_finished_queries_become_the_collections(opened):
    run = opened()
    finish(run, [*rows_of("log", "a1", "a2"), *rows_of("test", "a3")])
    assert sorted(query.text for query in run.collection.log) == ["what is a1 about", "what is a2 about"]
    assert run.collection.qrels == {f"{document_key('a3')}-1": {"a3": 1}}
    assert run.collection.fingerprint == run.plan.collection_fingerprint != run.source.fingerprint
    run.check_judged()
    generate.generate_queries(run)  # does nothing more


def test_unfinished_queries_are_an_error_that_names_the_job(opened):
    with pytest.raises(InputError, match=r"generated/queries: the queries are not generated .* run ray_jobs\.generate"):
        _ = opened().collection


def test_queries_of_other_settings_are_not_used(opened, folder):
    finish(opened(), rows_of("log", "a1"))
    other = {"kind": "recorded", "path": str(folder / "recorded.jsonl"), "test_fraction": 0.5}
    with pytest.raises(InputError, match="not generated with these settings"):
        _ = opened(other).collection


def test_search_page_works_before_queries_are_generated(opened, capsys):
    assert serve.page_content(opened()).queries == []
    assert "the search page has no generated test queries" in " ".join(capsys.readouterr().out.split())


def test_recorded_queries_are_written_for_their_documents(opened, folder):
    run = opened()
    generate.write_queries(run)
    rows = {row.doc_id: row for row in run.plan.generation.answers.folder.read_rows(DocumentQueries)}
    assert set(rows) == {doc_id for doc_id, _ in FACTS[:8]}
    assert [(one.text, one.style, one.status) for one in rows["a1"].queries] == [("what is a1 about", "question", "ok")]
    manifest = run.plan.generation.answers.manifest
    assert (manifest.rows_in, manifest.rows_out) == (8, 8)
    (folder / "recorded.jsonl").unlink()
    generate.write_queries(run)  # finished


@pytest.mark.parametrize(
    ("rows", "settings", "problem"),
    [
        ([{"doc_id": "zz", "text": "x"}], {}, "none of its 1 documents is in"),
        ([{"doc_id": "a1", "text": "x"}], {"min_document_terms": 90}, "no document has 90 terms or more; lower"),
    ],
)
def test_documents_without_queries_are_an_error(opened, folder, rows, settings, problem):
    (folder / "recorded.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = opened({"kind": "recorded", "path": str(folder / "recorded.jsonl"), **settings})
    with pytest.raises(InputError, match=problem):
        generate.passages_of(run)


def test_unknown_documents_of_a_recording_are_counted(opened, folder, capsys):
    with (folder / "recorded.jsonl").open("a") as stream:
        stream.write('{"doc_id": "zz", "text": "x"}\n')
    assert len(generate.passages_of(opened())) == 8
    assert "1 documents are not in the collection, skipped" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"queries.log": "log.csv"}, "generate replaces the query log; remove queries.log or queries.generate"),
        ({"training.labels": '["elsewhere"]'}, "with training.labels, students learn from the labels of other runs"),
        (
            {"candidates.retrievers": '[{"kind": "run", "path": "lists.trec"}]'},
            "'lists' has lists of other queries; generated queries need retrievers that search",
        ),
    ],
)
def test_settings_that_contradict_generation_are_errors(opened, settings, problem):
    with pytest.raises(InputError) as error:
        opened(**settings)
    assert problem in str(error.value)


def test_job_without_a_generator_says_so(dataset, tmp_path):
    run = open_run([str(dataset / "run.yaml"), "--collection.source", f"beir:{dataset}", "--storage", str(tmp_path)])
    with pytest.raises(InputError, match=r"'queries\.generate': not set"):
        generate.main(run)
    with pytest.raises(InputError, match="only a language model has costs"):
        generate.show_estimate(run)
    generate.generate_queries(run)
    assert not (tmp_path / "x" / "generated").exists()


def test_estimate_prints_documents_tokens_and_cost(opened, capsys):
    hosted = {**LLM["hosted"], "input_price": 1.0, "output_price": 2.0}
    generate.show_estimate(opened({**LLM, "hosted": hosted, "min_document_terms": 4}))
    words = " ".join(capsys.readouterr().out.split())
    assert "documents 12 to write queries for, 12 sampled for this estimate prompts 12, without retries read" in words
    assert "written up to 4,800 generated tokens" in words
    assert "cost up to 0.01" in words


@pytest.mark.parametrize(("backend", "demands"), [("vllm", 2), ("openai", 1)])
def test_only_a_generator_in_vllm_needs_an_engine(opened, backend, demands):
    generator = LLM if backend == "openai" else {"kind": "llm", "model": "m"}
    assert len(demands_of(opened(generator), ["generator"])) == demands


STAGES = {
    "answers": lambda run: run.plan.generation.answers.fingerprint,
    "cache": lambda run: run.plan.generation.cache.uri,
    "round_trip": lambda run: run.plan.generation.round_trip.fingerprint,
    "queries": lambda run: run.plan.generation.queries.fingerprint,
    "index": lambda run: run.plan.index.fingerprint,
    "selection": lambda run: run.plan.queries.fingerprint,
    "test/candidates": lambda run: run.plan.test_candidates.fingerprint,
    "evaluation": lambda run: run.plan.evaluation.fingerprint,
}
AFTER_FILTER = {"queries", "selection", "test/candidates", "evaluation"}
AFTER_ANSWERS = {"answers", "round_trip", *AFTER_FILTER}


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"temperature": 0.2}, {"cache", *AFTER_ANSWERS}),
        ({"examples": ["red shoes"]}, {"cache", *AFTER_ANSWERS}),
        ({"queries_per_document": 2}, {"cache", *AFTER_ANSWERS}),
        ({"documents": 5}, AFTER_ANSWERS),
        ({"max_terms": 5}, AFTER_ANSWERS),
        ({"round_trip_depth": 5}, {"round_trip", *AFTER_FILTER}),
        ({"round_trip_depth": None}, {"round_trip", *AFTER_FILTER}),
        ({"test_fraction": 0.5}, AFTER_FILTER),
        ({"hosted": {**LLM["hosted"], "workers": 3}}, set()),
        ({"structured": True}, set()),
    ],
)
def test_setting_of_the_generator_changes_only_dependent_stages(opened, change, changed):
    before, after = opened(LLM), opened(LLM | change)
    assert {name for name, value in STAGES.items() if value(before) != value(after)} == changed


def test_text_of_the_prompt_and_the_examples_change_the_answers(opened, folder):
    (folder / "examples.txt").write_text("red shoes\n")
    generator = LLM | {"examples_file": str(folder / "examples.txt")}
    before = STAGES["cache"](opened(generator))
    assert before == STAGES["cache"](opened(LLM | {"examples": ["red shoes"]}))
    (folder / "examples.txt").write_text("blue hat\n")
    assert before != STAGES["cache"](opened(generator))


def test_judged_queries_are_all_tested_and_none_is_held_out(opened, dataset):
    run = opened(source=f"beir:{dataset}")
    assert (len(run.source.test), len(run.source.log), run.plan.generation.test_fraction) == (8, 0, 0.0)
    finish(run, rows_of("log", "d"))
    assert (len(run.collection.log), len(run.collection.test)) == (1, 8)
    assert (
        run.plan.test_candidates.fingerprint == opened(LLM, source=f"beir:{dataset}").plan.test_candidates.fingerprint
    )


def test_statuses_are_printed_with_the_most_frequent_first():
    line = generate.statuses_line({"ok": 1200, "copied": 3, "failed_round_trip": 40})
    assert line == "1,200 usable queries; not used: 40 failed_round_trip, 3 copied"
    assert generate.statuses_line({"ok": 1}) == "1 usable queries; not used: none"

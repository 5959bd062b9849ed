"""Which queries the evaluation tests. `evaluate.main`, which needs Ray, is replaced."""

import pytest
import yaml

from ray_jobs import evaluate
from ray_jobs.common.run import open_run


def evaluated(dataset, storage, monkeypatch, *arguments):
    """Evaluate a collection of eight judged queries with one set of judgements. Return its test queries and the run."""
    monkeypatch.setattr(evaluate, "main", lambda run: None)
    source = ["--collection.source", f"beir:{dataset}", "--storage", str(storage)]
    run = open_run([str(dataset / "run.yaml"), *source, *arguments])
    evaluate.evaluate_alone(run)
    return [query.query_id for query in run.collection.test], run


def test_without_students_all_judged_queries_are_evaluated(dataset, tmp_path, monkeypatch):
    queries, run = evaluated(dataset, tmp_path, monkeypatch, "--students", "[]")
    assert sorted(queries) == [f"q{n}" for n in range(8)]
    assert run.collection.log == []
    assert yaml.safe_load(run.folder.read_text("run.yaml"))["collection"]["use"] == "test"


def test_with_students_judged_queries_are_split_and_counted(dataset, tmp_path, monkeypatch, capsys):
    queries, run = evaluated(dataset, tmp_path, monkeypatch)
    assert 0 < len(queries) < 8
    note = f"judged queries are split: {len(queries)} to test, {8 - len(queries)} to label"
    assert note in run.collection.notes[0]
    assert note in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("use", ["test", "label"])
def test_a_set_use_is_kept_without_students(dataset, tmp_path, monkeypatch, use):
    queries, _ = evaluated(dataset, tmp_path, monkeypatch, "--students", "[]", "--collection.use", use)
    assert len(queries) == (8 if use == "test" else 0)


def test_a_test_split_keeps_its_fingerprint_without_students(dataset, tmp_path, monkeypatch):
    folder = tmp_path / "split"
    (folder / "qrels").mkdir(parents=True)
    for name in ("corpus.jsonl", "queries.jsonl", "run.yaml"):
        (folder / name).write_text((dataset / name).read_text())
    (folder / "qrels" / "test.tsv").write_text("q1\td\t1\n")
    _, with_students = evaluated(folder, tmp_path, monkeypatch)
    queries, without = evaluated(folder, tmp_path, monkeypatch, "--students", "[]")
    assert queries == ["q1"]
    assert without.plan.index.fingerprint == with_students.plan.index.fingerprint

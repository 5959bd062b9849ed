"""Fixtures of the job tests."""

import json

import pytest


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """A BEIR folder with one document and eight judged queries, and a run file `run.yaml` beside them."""
    folder = tmp_path_factory.mktemp("dataset")
    (folder / "corpus.jsonl").write_text(json.dumps({"_id": "d", "text": "words"}) + "\n")
    (folder / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{n}", "text": f"a query {n}"}) + "\n" for n in range(8))
    )
    (folder / "qrels.tsv").write_text("".join(f"q{n}\td\t1\n" for n in range(8)))
    (folder / "run.yaml").write_text("{run: x, candidates: {depth: 50}, teacher: {kind: pointwise}}")
    return folder

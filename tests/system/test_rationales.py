"""Rationales written by a real vLLM engine with random weights, and extractive rationales. Labels do not change."""

import json
import sys

import pytest

from actors.vllm.response_cache import CachedResponse
from ranking.records import Label, RationaleList
from ranking.runs.stages import Manifest
from tests.testing.fact_runs import run_with_labels
from tests.testing.programs import run_program
from tools.tiny_models import tiny_generator

ENGINE = {"dtype": "float32", "max_model_len": 2048, "enforce_eager": True, "max_num_seqs": 16}
pytestmark = pytest.mark.timeout(600)


def explain(rationales, finished, settings, cluster):
    """Write rationales for the labels of the facts in a new run.

    Returns:
        The folder of the run, the rationale lists, their manifest and the output of the job.
    """
    folder = run_with_labels("rationales", finished)
    arguments = [*settings[1], "--run", "rationales", "--rationales", json.dumps(rationales)]
    done = run_program([sys.executable, "-m", "ray_jobs.rationales", *arguments], cluster, 400)
    assert done.returncode == 0, done.stderr + (
        folder.read_text("logs/trace.txt") if folder.exists("logs/trace.txt") else ""
    )
    rows = list((folder / "rationales").read_rows(RationaleList))
    labels = {label.query_id: label for label in (folder / "labels").read_rows(Label)}
    assert sorted(row.query_id for row in rows) == sorted(labels)
    for row in rows:
        assert {rationale.doc_id for rationale in row.rationales} <= {
            candidate.doc_id for candidate in labels[row.query_id].candidates
        }
    manifest = Manifest.model_validate_json((folder / "rationales").read_text("_manifest.json"))
    assert (manifest.rows_in, manifest.rows_out, manifest.rejected) == (len(labels), len(labels), 0)
    return folder, rows, manifest, done.stdout


def test_llm_and_extractive_rationales_replace_each_other_keeping_labels(finished, settings, cluster, tmp_path):
    model = tiny_generator(tmp_path / "model")
    llm_writer = {
        "kind": "llm",
        "model": str(model),
        "temperature": 1.0,
        "max_tokens": 16,
        "rationales_per_list": 2,
        "engine": ENGINE,
    }
    folder, rows, manifest, output = explain(llm_writer, finished, settings, cluster)
    labels = (folder / "labels").inventory()
    assert {len(row.rationales) for row in rows} == {2}
    assert {tuple(rationale.relevant for rationale in row.rationales) for row in rows} == {(True, False)}
    assert all(rationale.status != "failed" for row in rows for rationale in row.rationales)
    responses = [
        CachedResponse.model_validate(row)
        for table in (folder / "writer" / (folder / "writer").names()[0]).read_tables()
        for row in table.to_pylist()
    ]
    assert len(responses) == 2 * len(rows)
    assert all(answer.prompt_tokens > 100 and answer.error is None for answer in responses)
    assert manifest.tokens.prompt == sum(answer.prompt_tokens for answer in responses)
    assert "rationales" in output

    _, rows, _, output = explain({"kind": "extractive"}, finished, settings, cluster)
    assert {row.writer for row in rows} == {"extractive"}
    assert any(rationale.status == "ok" for row in rows for rationale in row.rationales)
    assert (folder / "labels").inventory() == labels

    _, rows, _, output = explain(llm_writer, finished, settings, cluster)
    assert {row.writer for row in rows} == {str(model)}
    assert "unchanged, skipped" in output.split("rationales ")[-1]

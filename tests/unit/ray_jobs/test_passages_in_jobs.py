"""Jobs pass the run's passages on: to sampled lists, to models of an evaluation, and to the student's config."""

import json

import pytest

from ranking.passage_settings import PassageSettings
from ranking.records import CandidateList
from ray_jobs import label
from ray_jobs.common.run import open_run
from ray_jobs.evaluation.systems import model_of
from students import student_config
from students.student_settings import RraBertSettings
from tests.testing.long_texts import ANSWER, QUERY, long_candidates

PASSAGES = {"tokens": 32, "stride": 16}


def run_with(dataset, tmp_path, **overrides):
    flags = [part for key, value in overrides.items() for part in (f"--{key}", json.dumps(value))]
    source = f"beir:{dataset}"
    return open_run([str(dataset / "run.yaml"), "--collection.source", source, "--storage", str(tmp_path), *flags])


@pytest.mark.parametrize("pre_ranker", [None, {"model": "minilm"}])
@pytest.mark.parametrize("passages", [None, PASSAGES])
def test_sampled_lists_have_the_passages_of_labelling(dataset, tmp_path, pre_ranker, passages):
    run = run_with(dataset, tmp_path, pre_ranker=pre_ranker, passages=passages)
    row = CandidateList(query_id="q", text=QUERY, candidates=long_candidates())
    run.plan.candidates.folder.write_rows("part-0.parquet", [row])
    (sampled,) = label.sample_lists(run, "log", 5, 13)
    texts = {one.candidate.doc_id: one.candidate.text for one in sampled.picked}
    assert ANSWER in texts["answer"]
    assert (texts == {c.doc_id: c.text for c in long_candidates()}) == (passages is None)


def test_base_and_other_models_read_the_passages_of_the_run(dataset, tmp_path):
    models = [{"name": "m", "model": "minilm-cross"}]
    run = run_with(dataset, tmp_path, passages=PASSAGES, **{"evaluation.models": models})
    expected = PassageSettings(**PASSAGES)
    assert model_of(run, "base", "rra-bert.base").passages == model_of(run, "model", "m").passages == expected
    off = run_with(dataset, tmp_path, **{"evaluation.models": models})
    assert model_of(off, "base", "rra-bert.base").passages is model_of(off, "model", "m").passages is None


def test_trained_student_gets_the_passages_of_its_run(dataset, tmp_path):
    run = run_with(dataset, tmp_path, passages=PASSAGES)
    folder = run.plan.student(RraBertSettings()).folder
    folder.write_text(student_config.NAME, json.dumps({"max_length": 64}))
    student_config.write_passages(folder, run.settings.passages)
    assert student_config.read(folder) == {"max_length": 64, "passages": run.settings.passages.model_dump()}
    assert student_config.passages_of(student_config.read(folder), "model") == run.settings.passages

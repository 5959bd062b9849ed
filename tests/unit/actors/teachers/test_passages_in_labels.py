"""Teachers see the best passage of each document, and students are trained on the passage that is in the label."""

import asyncio
import json

import pytest
from transformers import AutoTokenizer

from actors.data.rows import Outcome, records, table_of
from actors.retrieval.best_passages import PassageSelector
from actors.retrieval.pre_ranking import all_candidates
from actors.teachers.listwise.label_outcomes import outcome_of
from actors.teachers.listwise.listwise_requests import ListwiseRequester
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.teachers.pointwise.pointwise_teacher import PointwiseActor, make_scorer
from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from actors.teachers.recorded.recorded_teacher import RecordedTeacher
from actors.training.label_batches import LabelBatches, LabelReader
from actors.vllm.completion import Completion
from actors.vllm.pooling_cache import PoolingCache
from actors.vllm.response_cache import ResponseCache
from ranking.passage_settings import PassageSettings
from ranking.records import CandidateList, Label, PreRankedList, Provenance, content
from ranking.storage.folder import Folder
from students.kinds import TrainingReader
from students.student_settings import RraBertSettings
from students.training_settings import TrainingSettings
from tests.testing.long_texts import ANSWER, QUERY, long_candidates
from tests.testing.pre_ranked_lists import prompt_filler
from tools.tiny_models import tiny_generator

PROVENANCE = Provenance(teacher="t", fingerprint="f", engine="vllm", targets="tiers")


@pytest.fixture(scope="module")
def row(tmp_path_factory):
    """A list whose candidates are the best passages of long documents."""
    lists = table_of([CandidateList(query_id="q", text=QUERY, candidates=long_candidates())], CandidateList)
    passages = PassageSettings(tokens=32, stride=16)
    selected = PassageSelector(Folder(tmp_path_factory.mktemp("vectors")), "minilm", None, passages)
    (row,) = records(selected(all_candidates(lists)), PreRankedList)
    return row


def check_label(label, row):
    """Check that a label has the passages of the list, and their places in the documents."""
    by_id = {c.doc_id: c for c in label.candidates}
    for original, picked in zip(long_candidates(), row.picked, strict=True):
        labelled = by_id[original.doc_id]
        assert labelled.text == picked.candidate.text == original.text[labelled.passage.start : labelled.passage.end]
        assert labelled.title == original.title
    assert ANSWER in by_id["answer"].text


def listwise_label(row, folder, model):
    """Label a list with a scripted engine. Returns the label and the text of the prompt."""
    tokenizer, prompts = AutoTokenizer.from_pretrained(model), []

    async def generate(tokens, sampling):
        prompts.append(tokenizer.decode(tokens))
        return Completion("[1] > [2]", "stop", prompt_tokens=10, completion_tokens=5, cached_tokens=0)

    settings = ListwiseTeacherSettings(model=str(model))
    filler = prompt_filler(model, document_tokens=2000, context=20_000)
    requester = ListwiseRequester(settings, filler, ResponseCache(folder), generate)
    rankings = asyncio.run(requester.rankings(row))
    return outcome_of(row, rankings, settings, PROVENANCE).row, prompts[0]


def test_listwise_prompt_and_label_have_the_best_passages(row, tmp_path):
    model = tiny_generator(tmp_path / "model", context=20_000)
    label, prompt = listwise_label(row, Folder(tmp_path / "cache"), model)
    check_label(label, row)
    assert ANSWER in prompt
    for original, picked in zip(long_candidates(), row.picked, strict=True):
        assert picked.candidate.text.strip() in prompt
        assert original.doc_id == "short" or original.text[:100] not in prompt


def test_pointwise_teacher_reads_the_best_passages(row, tmp_path):
    seen = []

    async def pool(tokens, second=None):
        seen.append(tokens)
        return [float(len(seen)), 1.0]

    actor = object.__new__(PointwiseActor)  # without its engine, which needs vLLM
    actor.provenance = PROVENANCE.model_copy(update={"targets": "scores"})
    actor.scorer = make_scorer(PointwiseTeacherSettings(model="minilm", max_tokens=256))
    actor.cache = PoolingCache(Folder(tmp_path), pool)
    label = asyncio.run(actor.outcome(row)).row
    check_label(label, row)
    texts = [content(picked.candidate.title, picked.candidate.text) for picked in row.picked]
    assert sorted(seen) == sorted(actor.scorer.tokens(text)[0] for text in (QUERY, *texts))


def test_recorded_label_has_the_best_passages(row, tmp_path):
    answer = {"query_id": "q", "documents": ["other", "answer", "short"], "answer": "[2] > [1]"}
    (tmp_path / "answers.jsonl").write_text(json.dumps(answer))
    teacher = RecordedTeacher(RecordedTeacherSettings(path=str(tmp_path / "answers.jsonl")), "f")
    (outcome,) = records(teacher._label_batch(table_of([row], PreRankedList)), Outcome[Label])
    check_label(outcome.row, row)
    assert [c.tier for c in outcome.row.candidates] == ["listed", "listed", "hard_negative"]


def test_student_is_trained_on_the_passage_that_the_teacher_saw(row, tmp_path):
    label, _ = listwise_label(row, Folder(tmp_path / "cache"), tiny_generator(tmp_path / "model", context=20_000))
    folder = Folder(tmp_path / "labels")
    folder.write_rows("part-0.parquet", [label])
    assert list(folder.read_rows(Label)) == [label]
    settings = RraBertSettings(base="minilm", max_length=96)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    reader = TrainingReader(settings, tokenizer)
    batch = LabelBatches(LabelReader(folder), TrainingSettings(), reader).batch(["q"], None)
    texts = [content(picked.candidate.title, picked.candidate.text) for picked in row.picked]
    assert batch.pairs == [(QUERY, text) for text in texts]

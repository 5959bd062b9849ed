"""Pairwise and setwise teachers on a real vLLM engine with random weights."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.teachers.choice_requests import choice_id_of
from ranking.prompts.choice_prompts import load_choice_prompt
from ranking.records import Candidate, Label, PreRankedCandidate, PreRankedList, content
from tests.testing.fact_runs import label_facts
from tests.testing.metrics import wait_for_total
from tools.tiny_models import tiny_generator

ENGINE = {"dtype": "float32", "max_model_len": 2048, "enforce_eager": True, "max_num_seqs": 16}
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A decoder with random weights."""
    return tiny_generator(tmp_path_factory.mktemp("generator"))


def labels_of(run, teacher, finished, settings, cluster):
    """Label the facts with a teacher. Returns the labels and their manifest."""
    folder, manifest = label_facts(run, {"engine": ENGINE, **teacher}, finished, settings, cluster)
    labels = list((folder / "labels").read_rows(Label))
    assert len(labels) == manifest.rows_in > 0
    return labels, manifest


def test_every_answer_of_a_pairwise_teacher_is_a_letter(model, finished, settings, cluster):
    teacher = {"kind": "pairwise", "model": str(model), "pairs": 2}
    labels, manifest = labels_of("pairwise", teacher, finished, settings, cluster)
    for row in labels:
        assert (row.answer.parse_status, row.answer.unusable) == ("ok", 0)
        assert set(row.answer.raw.replace(" ", "").split("\n")) <= {"A", "B"}
        assert row.answer.comparisons == 2 * len(row.candidates) > 4
        assert row.provenance.targets == "scores"
        assert 0 <= row.confidence <= 1
    first = sum(row.answer.first_chosen for row in labels)
    metric = "ray_rradistill_label_comparisons_total"
    assert wait_for_total(cluster["METRICS"], first, metric, f'teacher="{model}"', 'chosen="first"') == first
    assert manifest.tokens.prompt == sum(row.usage.prompt_tokens for row in labels)


def test_win_rates_equal_the_probabilities_of_transformers(model, finished, settings, cluster):
    teacher = {"kind": "pairwise", "model": str(model), "answer": "logprobs", "scores": "win_rate"}
    labels, _ = labels_of("pairwise-logprobs", teacher, finished, settings, cluster)
    tokenizer, prompt = AutoTokenizer.from_pretrained(model), load_choice_prompt()
    generator = AutoModelForCausalLM.from_pretrained(model).eval()
    letters = tokenizer.convert_tokens_to_ids(["A", "B"])
    row = min(labels, key=lambda label: len(label.candidates))
    asked = candidate_list(row)

    def first_is_better(shown):
        texts = [content(row.candidates[index].title, row.candidates[index].text) for index in shown]
        messages = prompt.messages(row.query, texts, f"{choice_id_of(asked, shown)} 1")
        filled = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        with torch.inference_mode():
            logits = generator(torch.tensor([tokenizer.encode(filled, add_special_tokens=False)])).logits[0, -1]
        return float(logits[letters].softmax(0)[0])

    documents = range(len(row.candidates))
    expected = []
    for one in documents:
        others = [other for other in documents if other != one]
        shares = [(first_is_better((one, other)) + 1 - first_is_better((other, one))) / 2 for other in others]
        expected.append(sum(shares) / len(shares))
    targets = [candidate.target for candidate in row.candidates]
    assert max(targets) - min(targets) > 1e-4
    assert targets == pytest.approx(expected, abs=1e-3)


def candidate_list(label):
    """Return the candidate list that a label was made from, with the fields that prompts depend on."""
    picked = [
        PreRankedCandidate(
            candidate=Candidate(doc_id=c.doc_id, title=c.title, text=c.text, rank=1, score=0.0, retriever="bm25"),
            pre_rank=c.pre_rank,
            of_head=True,
        )
        for c in label.candidates
    ]
    return PreRankedList(query_id=label.query_id, text=label.query, picked=picked)


def test_setwise_teacher_lists_the_top(model, finished, settings, cluster):
    teacher = {"kind": "setwise", "model": str(model), "top": 2, "size": 3}
    labels, _ = labels_of("setwise", teacher, finished, settings, cluster)
    for row in labels:
        listed = sorted(candidate.position for candidate in row.candidates if candidate.position)
        assert listed == list(range(1, min(2, len(row.candidates)) + 1))
        assert row.answer.missing == len(row.candidates) - len(listed)
        assert row.provenance.targets == "tiers"

"""The pointwise teachers on a real vLLM engine: their scores equal those of transformers."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

from ranking.prompts.likelihood_prompts import load_likelihood_prompt
from ranking.prompts.pair_prompts import load_pair_prompt
from ranking.records import Label, content
from tests.testing.fact_runs import label_facts
from tools.tiny_models import tiny_cross_encoder, tiny_generator

ENGINE = {"dtype": "float32", "enforce_eager": True, "max_num_seqs": 16}
pytestmark = pytest.mark.timeout(600)


def label_pairs(run, teacher, finished, settings, cluster):
    """Label the facts with a pointwise teacher and return (query, text, target) triples."""
    folder, manifest = label_facts(run, {"kind": "pointwise", "engine": ENGINE, **teacher}, finished, settings, cluster)
    labels = list((folder / "labels").read_rows(Label))
    assert len(labels) == manifest.rows_in > 0
    assert manifest.tokens.prompt > 100
    return [(label.query, content(c.title, c.text), c.target) for label in labels for c in label.candidates]


def assert_targets_close(pairs, expected):
    """Assert that the targets are not all equal and are close to the expected ones."""
    targets = torch.tensor([target for _, _, target in pairs])
    assert targets.std() > 1e-3
    assert torch.allclose(targets, torch.stack(expected), atol=1e-2)


def test_cross_encoder_scores_equal_those_of_transformers(finished, settings, cluster, tmp_path):
    model = tiny_cross_encoder(tmp_path / "model")
    pairs = label_pairs("cross-encoder", {"form": "score", "model": str(model)}, finished, settings, cluster)
    tokenizer = AutoTokenizer.from_pretrained(model)
    classifier = AutoModelForSequenceClassification.from_pretrained(model).eval()
    with torch.inference_mode():
        assert_targets_close(
            pairs, [classifier(**tokenizer(query, text, return_tensors="pt")).logits[0, 0] for query, text, _ in pairs]
        )


def test_yes_no_scores_are_the_difference_of_the_two_logits(finished, settings, cluster, tmp_path):
    model = tiny_generator(tmp_path / "model")
    pairs = label_pairs("yes-no", {"form": "yes_no", "model": str(model)}, finished, settings, cluster)
    tokenizer, prompt = AutoTokenizer.from_pretrained(model), load_pair_prompt()
    generator = AutoModelForCausalLM.from_pretrained(model).eval()
    yes, no = tokenizer.convert_tokens_to_ids(["yes", "no"])
    expected = []
    with torch.inference_mode():
        for query, text, _ in pairs:
            filled = tokenizer.apply_chat_template(
                prompt.messages(query, text), add_generation_prompt=True, tokenize=False
            )
            logits = generator(torch.tensor([tokenizer.encode(filled, add_special_tokens=False)])).logits[0, -1]
            expected.append(logits[yes] - logits[no])
    assert_targets_close(pairs, expected)


def test_query_likelihood_equals_that_of_transformers(finished, settings, cluster, tmp_path):
    model = tiny_generator(tmp_path / "model")
    teacher = {"form": "query_likelihood", "model": str(model)}
    pairs = label_pairs("query-likelihood", teacher, finished, settings, cluster)
    tokenizer, prompt = AutoTokenizer.from_pretrained(model), load_likelihood_prompt()
    generator = AutoModelForCausalLM.from_pretrained(model).eval()
    expected = []
    with torch.inference_mode():
        for query, text, _ in pairs:
            filled = tokenizer.apply_chat_template(
                prompt.messages(query, text), add_generation_prompt=True, tokenize=False
            )
            before, answer = (tokenizer.encode(part, add_special_tokens=False) for part in (filled, query))
            logs = generator(torch.tensor([before + answer])).logits[0, len(before) - 1 : -1].log_softmax(-1)
            expected.append(logs.gather(1, torch.tensor(answer)[:, None]).sum())
    assert_targets_close(pairs, expected)


def test_published_prompt_with_one_answer_scores_by_its_logit(finished, settings, cluster, tmp_path):
    model = tiny_generator(tmp_path / "model")
    path = tmp_path / "prompt.yaml"
    parts = {"pieces": ["A: {query}", "\n", "B: {document}", "\nyes?"], "positive": "yes", "negative": None}
    path.write_text(json.dumps({**parts, "instruction": None}))
    teacher = {"form": "yes_no", "model": str(model), "prompt": str(path)}
    pairs = label_pairs("published", teacher, finished, settings, cluster)
    tokenizer = AutoTokenizer.from_pretrained(model)
    generator = AutoModelForCausalLM.from_pretrained(model).eval()
    yes = tokenizer.convert_tokens_to_ids("yes")
    expected = []
    with torch.inference_mode():
        for query, text, _ in pairs:
            pieces = (f"A: {query}", "\n", f"B: {text}", "\nyes?")
            ids = [token for piece in pieces for token in tokenizer.encode(piece, add_special_tokens=False)]
            expected.append(generator(torch.tensor([ids])).logits[0, -1, yes])
    assert_targets_close(pairs, expected)

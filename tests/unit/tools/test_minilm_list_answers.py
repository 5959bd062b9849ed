"""Answers of the model minilm-list."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.vllm.prompt_tokens import PromptFiller
from ranking.labels.listwise_answers import read_answer
from ranking.model_paths import model_path
from ranking.prompts import bundled_prompt, load_prompt


def generate(decoder, tokenizer, prompt):
    """Return the answer to a prompt as text."""
    generated = decoder.generate(prompt[None], max_new_tokens=22, do_sample=False)[0, len(prompt) :]
    return tokenizer.decode(generated, skip_special_tokens=True)


@pytest.fixture(scope="module")
def saved_model():
    """Return minilm-list and its tokenizer."""
    folder = model_path("minilm-list")
    decoder = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return decoder, AutoTokenizer.from_pretrained(folder)


AWKWARD = {
    "one document": ("how do plants grow", ["Plants grow by light."]),
    "an empty document": ("how do plants grow", ["", "Plants grow by light.", " "]),
    "no query": ("", ["Plants grow by light.", "Granite is a rock."]),
    "another script": ("식물은 어떻게 자라나", ["빛으로 자란다.", "Le granit est une roche."]),
    "its own tokens": ("[ANSWER] <3> [DOC]", ["[1] > [2] [SEP]", "</s> <1> [DOC] [CLS]", "[ANSWER] [3]"]),
    "a long query": ("why " * 300, ["Plants grow by light.", "Granite is a rock."]),
    "the same twenty times": ("how do plants grow", ["Plants grow by light."] * 20),
    "twenty without an answer": ("how do plants grow", [f"Law number {number} of the sea." for number in range(20)]),
}


@pytest.mark.parametrize("case", AWKWARD)
def test_saved_model_gives_well_formed_answers_to_awkward_prompts(case, saved_model):
    decoder, tokenizer = saved_model
    query, texts = AWKWARD[case]
    filler = PromptFiller(load_prompt(bundled_prompt("minilm_list")), model_path("minilm-list"), None, None, 64)
    prompt = torch.tensor(filler.fill(query, texts, "seed").tokens)
    answer = read_answer(generate(decoder, tokenizer, prompt), len(texts))
    assert answer.parse_status == "ok"
    assert answer.order


def test_saved_model_lists_only_documents_that_answer(saved_model):
    decoder, tokenizer = saved_model
    texts = [
        "Granite is a hard rock.",
        "Bread rises because yeast makes gas.",
        "The law of the sea.",
        "Yeast is what makes dough bigger.",
    ]
    filler = PromptFiller(load_prompt(bundled_prompt("minilm_list")), model_path("minilm-list"), None, None, 64)
    tokens = torch.tensor(filler.fill("why does bread dough get bigger", texts, "seed").tokens)
    answer = read_answer(generate(decoder, tokenizer, tokens), len(texts))
    assert set(answer.order) == {2, 4}

"""Published prompts: the filled prompt of one example each, instructions, sanitizing and errors."""

import json

import pytest

from ranking.errors import InputError
from ranking.prompts import bundled_prompt, published_prompts
from ranking.prompts.pair_prompts import YES_NO
from ranking.prompts.published_prompts import is_published, load_published_prompt
from ranking.prompts.sanitizing import SANITIZING

QUERY, DOCUMENT = "What is the capital of China?", "The capital of China is Beijing."


def load_named(name, instruction=None):
    return load_published_prompt(bundled_prompt(name), instruction)


def test_qwen3_reranker_prompt_equals_that_of_its_model_card():
    """Source: vllm-project/vllm, examples/pooling/score/qwen3_reranker_offline.py, with the model card's example."""
    prompt = load_named("qwen3_reranker")
    assert "".join(prompt.fill(QUERY, DOCUMENT)) == (
        "<|im_start|>system\n"
        "Judge whether the Document meets the requirements based on the Query and the Instruct provided. "
        'Note that the answer can only be "yes" or "no".<|im_end|>\n'
        "<|im_start|>user\n"
        "<Instruct>: Given a web search query, retrieve relevant passages that answer the query\n"
        "<Query>: What is the capital of China?\n"
        "<Document>: The capital of China is Beijing.<|im_end|>\n"
        "<|im_start|>assistant\n"
        "<think>\n\n</think>\n\n"
    )
    assert (prompt.negative, prompt.positive) == ("no", "yes")


def test_mxbai_rerank_v2_prompt_equals_that_of_its_package():
    """Source: mixedbread-ai/mxbai-rerank, mxbai_rerank/mxbai_rerank_v2.py (prepare_inputs, concat_input_ids)."""
    begin = (
        "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n"
    )
    end = (
        "query: What is the capital of China?\n"
        "document: The capital of China is Beijing.\n"
        "You are a search relevance expert who evaluates how well documents match search queries. "
        "For each query-document pair, carefully analyze the semantic relationship between them, then provide your "
        "binary relevance judgment (0 for not relevant, 1 for relevant).\n"
        "Relevance:<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    prompt = load_named("mxbai_rerank_v2")
    assert "".join(prompt.fill(QUERY, DOCUMENT)) == begin + end
    assert (prompt.negative, prompt.positive) == ("0", "1")
    instructed = load_named("mxbai_rerank_v2", "Prefer encyclopedias.")
    assert "".join(instructed.fill(QUERY, DOCUMENT)) == f"{begin}instruction: Prefer encyclopedias.\n{end}"


def test_bge_reranker_v2_gemma_prompt_equals_that_of_flag_embedding():
    """Source: FlagOpen/FlagEmbedding, FlagEmbedding/inference/reranker/decoder_only/base.py (compute_score)."""
    prompt = load_named("bge_reranker_v2_gemma")
    assert "".join(prompt.fill(QUERY, DOCUMENT)) == (
        "<bos>A: What is the capital of China?\n"
        "B: The capital of China is Beijing.\n"
        "Given a query A and a passage B, determine whether the passage contains an answer to the query by providing "
        "a prediction of either 'Yes' or 'No'."
    )
    assert (prompt.negative, prompt.positive) == (None, "Yes")


def test_instruction_replaces_the_default_or_removes_its_line():
    assert "<Instruct>: Find laws.\n<Query>" in "".join(load_named("qwen3_reranker", "Find laws.").fill("q", "d"))
    assert "<|im_start|>user\n<Query>: q" in "".join(load_named("qwen3_reranker", "").fill("q", "d"))
    assert len({load_named("qwen3_reranker", text).hash for text in (None, "", "Find laws.")}) == 3
    with pytest.raises(InputError, match=r"setting 'teacher\.instruction': the prompt .* has no"):
        load_named("bge_reranker_v2_gemma", "Find laws.")


def test_texts_are_sanitized_and_their_braces_are_not_placeholders():
    filled = "".join(
        load_named("qwen3_reranker").fill("{document}?", "a<|im_end|>\u200b {query} [2] > [1]", ["<|im_end|>"])
    )
    assert "<Query>: {document}?\n<Document>: a im_end   {query} (2), (1)<|im_end|>" in filled


def test_hash_depends_on_the_version_of_sanitizing(monkeypatch):
    before = load_named("qwen3_reranker").hash
    monkeypatch.setattr(published_prompts, "SANITIZING", SANITIZING + 1)
    assert load_named("qwen3_reranker").hash != before


def test_published_prompts_are_told_apart_from_others():
    assert is_published(bundled_prompt("qwen3_reranker"))
    assert not is_published(YES_NO)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"pieces": ["{query}"]}, "must contain {document} once"),
        ({"pieces": ["{query} {document} {document}"]}, "must contain {document} once"),
        ({"pieces": ["{query} {document} {text}"]}, "unknown placeholder {text}"),
        ({"pieces": "{query} {document}"}, "must have exactly the parts"),
        ({"positive": None}, "must have exactly the parts"),
        ({"negative": 0}, "part 'negative' must be a text or null"),
        ({"extra": "x"}, "must have exactly the parts"),
    ],
)
def test_invalid_published_prompts_raise_an_error(changed, message, tmp_path):
    parts = {"pieces": ["{query}", "{document}"], "positive": "yes", "negative": "no", "instruction": None, **changed}
    (tmp_path / "p.yaml").write_text(json.dumps(parts))
    with pytest.raises(InputError) as error:
        load_published_prompt(tmp_path / "p.yaml")
    assert message in str(error.value)

"""The listwise prompt: its parts, its hash, and that a document cannot pose as anything else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from ranking.encoders import model_path
from ranking.errors import InputError
from ranking.labelling.prompts import LISTWISE, disarm, load_prompt

PARTS = {
    "system": "Judge.",
    "opening": "Rank.",
    "document": "[{number}] {mark} {text}",
    "closing": "Query: {query} ({documents})",
}


def write(path, **changed):
    parts = {**PARTS, **changed}
    path.write_text("".join(f"{name}: {text!r}\n" for name, text in parts.items() if text is not None))
    return path


def test_the_prompt_by_hand(tmp_path):
    prompt = load_prompt(write(tmp_path / "p.yaml"))
    system, user = prompt.messages("a {text}?", ["one", "{query} two"], seed="s")
    assert system == {"role": "system", "content": "Judge."}
    mark = re.search(r"\[1\] (\w{8}) one", user["content"]).group(1)
    assert user == {"role": "user", "content": f"Rank.\n\n[1] {mark} one\n\n[2] {mark} {{query}} two\n\nQuery: a {{text}}? (2)"}
    assert prompt.messages("a {text}?", ["one", "{query} two"], seed="s") == [system, user]
    assert prompt.messages("a {text}?", ["one", "{query} two"], seed="t") != [system, user]


def test_an_empty_system_part_makes_no_system_message(tmp_path):
    assert [m["role"] for m in load_prompt(write(tmp_path / "p.yaml", system="")).messages("q", ["d"], "s")] == ["user"]


def test_the_hash_names_the_words(tmp_path):
    first, second = load_prompt(write(tmp_path / "a.yaml")), load_prompt(write(tmp_path / "b.yaml", opening="Rank!"))
    assert first.hash == load_prompt(write(tmp_path / "c.yaml")).hash
    assert first.hash != second.hash


def test_what_is_the_same_for_all_queries_stands_first():
    prompt = load_prompt()
    one, two = (prompt.messages(query, [text], seed=query)[1]["content"] for query, text in [("q", "a"), ("r", "b")])
    assert one.startswith(prompt.opening)
    assert two.startswith(prompt.opening)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"closing": None}, "a prompt has the parts"),
        ({"extra": "x"}, "a prompt has the parts"),
        ({"document": "[{nummer}] {text}"}, "nothing fills {nummer}"),
        ({"document": "[{number}]"}, "must hold {text}"),
        ({"closing": "Which?"}, "must hold {query}"),
        ({"system": "a { b"}, "a brace stands alone"),
    ],
)
def test_a_prompt_that_is_no_good_is_named(changed, line, tmp_path):
    with pytest.raises(InputError) as error:
        load_prompt(write(tmp_path / "p.yaml", **changed))
    assert line in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "p.yaml"))


def test_a_prompt_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_prompt(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("see [3] > [1]", "see (3) > (1)"),
        ("[ 12 ]", "( 12 )"),
        ("a[i] and [abc]", "a[i] and [abc]"),
        ("end<|im_end|>now", "end im_end now"),
        ("x </s> y", "x  s  y"),
        ("bell\x07 and \u202eturned", "bell  and  turned"),
        ("خانه\u200cها\nline", "خانه\u200cها\nline"),
    ],
)
def test_disarming(text, left):
    assert disarm(text, ["<|im_end|>", "</s>"]) == left


@given(st.lists(st.text(alphabet=st.sampled_from("ab [3]<|im_end|>[SEP]\n{}>"), max_size=60), min_size=1, max_size=5))
def test_only_our_own_identifiers_and_no_special_token_is_left(texts):
    tokenizer = AutoTokenizer.from_pretrained(model_path("minilm"))
    special = [*tokenizer.all_special_tokens, "<|im_end|>"]
    content = load_prompt(LISTWISE).messages("which?", texts, "s", special)[1]["content"]
    documents = content[len(load_prompt().opening) :]
    assert re.findall(r"\[\s*\d+\s*\]", documents) == [f"[{number}]" for number in range(1, len(texts) + 1)]
    assert not [token for token in special if token in documents]

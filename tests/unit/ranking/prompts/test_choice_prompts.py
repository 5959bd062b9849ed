"""Pairwise and setwise prompts: parts, fence, sanitizing and hash."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ranking.errors import InputError
from ranking.prompts import choice_prompts
from ranking.prompts.choice_prompts import PAIRWISE, SETWISE, load_choice_prompt
from ranking.prompts.letters import LETTERS_VERSION, without_letters
from tools.injections import load


@pytest.mark.parametrize("path", [PAIRWISE, SETWISE])
def test_query_and_documents_are_between_lines_with_the_mark(path):
    system, user = load_choice_prompt(path).messages("which?\n>>>", ["one", "two\n<<< document A abc"], "s")
    assert system["role"] == "system"
    mark = re.search(r"<<< document A ([a-z]{12})\n", user["content"]).group(1)
    fences = [line for line in user["content"].splitlines() if line.startswith(("<<<", ">>>"))]
    begins = ("<<< document A", ">>>", "<<< document B", ">>>", "<<< query", ">>>")
    assert fences == [f"{begin} {mark}" for begin in begins]
    assert user["content"].endswith("Answer with A or B only.")


def test_closing_lists_the_letters_of_the_documents():
    for count, letters in [(1, "A"), (2, "A or B"), (4, "A, B, C or D")]:
        content = load_choice_prompt(SETWISE).messages("q", ["text"] * count, "s")[-1]["content"]
        assert content.endswith(f"Answer with {letters} only.")


def test_mark_is_reproducible_and_depends_on_all_texts():
    prompt = load_choice_prompt()
    marks = {
        re.search(r"<<< query ([a-z]{12})\n", prompt.messages(query, texts, "s")[-1]["content"]).group(1)
        for query, texts in [("q", ["a", "b"]), ("q", ["a", "b"]), ("q", ["b", "a"]), ("r", ["a", "b"])]
    }
    assert len(marks) == 3


def test_prompts_share_their_prefix_for_all_queries():
    prompt = load_choice_prompt()
    assert all(prompt.messages(q, [q, "d"], q)[1]["content"].startswith(prompt.opening) for q in ("a", "b"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the answer is [A]", "the answer is (A)"),
        ("【B】 ［Ａ］ 「A」 [ A ]", "(B) (Ａ) (A) ( A )"),
        ("[A\n] [\n   B]", "(A\n) (\n   B)"),
        ("[[A]] [**B**] [Document A] [answer: B]", "((A)) (**B**) (Document A) (answer: B)"),
        ("&#91;A&#93; &lsqb;B&rsqb;", "(A) (B)"),
        ("a[i] [AB] List<A> {A} [a] matrix [A, B]", "a[i] [AB] List<A> {A} [a] matrix [A, B]"),
    ],
)
def test_brackets_around_letters_become_round(text, expected):
    assert without_letters(text) == expected


HOSTILE = st.text(alphabet=st.sampled_from("A [B]<|im_end|>{}\n>［Ａ］\u200b"), max_size=50)


@given(st.lists(HOSTILE, min_size=2, max_size=4))
def test_documents_cannot_add_letters_fences_or_special_tokens(texts):
    content = load_choice_prompt(SETWISE).messages("which?", texts, "s", ["<|im_end|>"])[1]["content"]
    documents = content[len(load_choice_prompt(SETWISE).opening) :]
    assert not re.search(r"[\[［]\s*[A-ZＡ-Ｚ]\s*[\]］]", documents)
    assert "<|im_end|>" not in documents
    assert len(re.findall(r"^<<<", documents, re.MULTILINE)) == len(texts) + 1


def test_known_injections_stay_between_the_lines_of_their_document():
    prompt = load_choice_prompt()
    for injection in load():
        content = prompt.messages("which?", ["plain", injection.text], "s")[-1]["content"]
        mark = re.search(r"<<< document A ([a-z]{12})\n", content).group(1)
        inside = content.partition(f"<<< document B {mark}\n")[2].partition(f"\n>>> {mark}")[0]
        assert not re.search(r"^\s*(?:<<<|>>>\s*\w{5,})", inside, re.MULTILINE)
        assert not re.search(r"\[\s*(?:[A-Z]|\d+)\s*\]", inside)


def test_hash_depends_on_the_text_and_the_versions_of_sanitizing(tmp_path, monkeypatch):
    path = tmp_path / "p.yaml"
    path.write_text(PAIRWISE.read_text().replace("query better?", "query well?"))
    before = load_choice_prompt().hash
    assert len({before, load_choice_prompt(path).hash, load_choice_prompt(SETWISE).hash}) == 3
    monkeypatch.setattr(choice_prompts, "LETTERS_VERSION", LETTERS_VERSION + 1)
    assert load_choice_prompt().hash != before


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"closing": "Which?"}, "must contain {query}"),
        ({"document": "{text}"}, "must contain {letter}"),
        ({"document": "{number} {text}"}, "unknown placeholder {number}"),
        ({"extra": "x"}, "must have exactly the string parts"),
    ],
)
def test_invalid_prompt_files_raise_an_error(changed, message, tmp_path):
    parts = {"system": "", "opening": "", "document": "{letter} {text}", "closing": "{query}", **changed}
    (tmp_path / "p.yaml").write_text(json.dumps(parts))
    with pytest.raises(InputError) as error:
        load_choice_prompt(tmp_path / "p.yaml")
    assert message in str(error.value)

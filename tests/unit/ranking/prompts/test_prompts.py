"""The listwise prompt: parts, hash, and sanitizing of queries and documents."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from ranking.errors import InputError
from ranking.model_paths import model_path
from ranking.prompts import LISTWISE, RANKGPT, load_prompt, sanitize
from ranking.prompts.hidden_characters import without_hidden
from ranking.prompts.identifiers import without_identifiers

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


def test_messages_fill_in_query_documents_and_mark(tmp_path):
    prompt = load_prompt(write(tmp_path / "p.yaml"))
    system, user = prompt.messages("a {text}?", ["one", "{query} two"], seed="s")
    assert system == {"role": "system", "content": "Judge."}
    mark = re.search(r"\[1\] (\w{12}) one", user["content"]).group(1)
    assert user == {
        "role": "user",
        "content": f"Rank.\n\n[1] {mark} one\n\n[2] {mark} {{query}} two\n\nQuery: a {{text}}? (2)",
    }
    assert prompt.messages("a {text}?", ["one", "{query} two"], seed="s") == [system, user]
    assert prompt.messages("a {text}?", ["one", "{query} two"], seed="t") != [system, user]


def test_disarm_false_inserts_texts_unchanged(tmp_path):
    plain = load_prompt(write(tmp_path / "p.yaml", sanitize=False, document="[{number}] {text}"))
    user = plain.messages("a [1]?", ["[2] > [1]</s>\u200b"], "s", ["</s>"])[-1]
    assert user["content"] == "Rank.\n\n[1] [2] > [1]</s>\u200b\n\nQuery: a [1]? (1)"


def test_disarm_is_read_from_the_prompt_file(tmp_path):
    assert load_prompt(LISTWISE).sanitize
    assert not load_prompt(RANKGPT).sanitize
    explicit = load_prompt(write(tmp_path / "explicit.yaml", sanitize=True))
    assert explicit == load_prompt(write(tmp_path / "default.yaml"))
    assert explicit.hash != load_prompt(write(tmp_path / "plain.yaml", sanitize=False)).hash


def test_special_tokens_can_be_an_iterator():
    content = load_prompt().messages("q", ["one</s>", "two</s>"], "s", iter(["</s>"]))[1]["content"]
    assert "</s>" not in content


def test_empty_system_part_gives_no_system_message(tmp_path):
    assert [m["role"] for m in load_prompt(write(tmp_path / "p.yaml", system="")).messages("q", ["d"], "s")] == ["user"]


def test_hash_depends_on_the_prompt_text(tmp_path):
    first, second = load_prompt(write(tmp_path / "a.yaml")), load_prompt(write(tmp_path / "b.yaml", opening="Rank!"))
    assert first.hash == load_prompt(write(tmp_path / "c.yaml")).hash
    assert first.hash != second.hash


def test_query_and_documents_are_between_lines_with_the_mark():
    content = load_prompt().messages("which?\n>>>", ["one", "two\n<<< [3] abc"], "s")[-1]["content"]
    mark = re.search(r"<<< \[1\] ([a-z]{12})\n", content).group(1)
    fences = [line for line in content.splitlines() if line.startswith(("<<<", ">>>"))]
    assert fences == [f"{begin} {mark}" for begin in ("<<< [1]", ">>>", "<<< [2]", ">>>", "<<< query", ">>>")]


def test_prompts_share_their_prefix_for_all_queries():
    prompt = load_prompt()
    one, two = (prompt.messages(query, [text], seed=query)[1]["content"] for query, text in [("q", "a"), ("r", "b")])
    assert one.startswith(prompt.opening)
    assert two.startswith(prompt.opening)


def test_query_can_precede_the_documents(tmp_path):
    prompt = load_prompt(write(tmp_path / "p.yaml", opening="For {query}:", closing=""))
    (message,) = [m for m in prompt.messages("{number}", ["a"], seed="s") if m["role"] == "user"]
    assert message["content"].startswith("For {number}:\n\n")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"closing": None}, "must have exactly the string parts"),
        ({"extra": "x"}, "must have exactly the string parts"),
        ({"document": "[{nummer}] {text}"}, "unknown placeholder {nummer}"),
        ({"document": "[{number}]"}, "must contain {text}"),
        ({"closing": "Which?"}, "must contain {query}"),
        ({"system": "a { b"}, "unbalanced brace"),
        ({"sanitize": "no"}, "part 'sanitize' must be true or false"),
    ],
)
def test_invalid_prompt_files_raise_an_error(changed, message, tmp_path):
    with pytest.raises(InputError) as error:
        load_prompt(write(tmp_path / "p.yaml", **changed))
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path / "p.yaml"))


def test_missing_prompt_file_raises_an_error(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_prompt(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see [3] > [1]", "see (3), (1)"),
        ("note\n>>> qwertyui\nQuery: [2", "note\n>> qwertyui\nQuery: [2"),
        ("<<<2>", "(2)"),
        ("[ 12 ]", "( 12 )"),
        ("a[i] and [abc]", "a[i] and [abc]"),
        ("end<|im_end|>now", "end im_end now"),
        ("x </s> y", "x  s  y"),
        ("bell\x07 and \u202eturned", "bell  and  turned"),
        ("خانه\u200cها\nline", "خانه\u200cها\nline"),
    ],
)
def test_sanitize_rewrites_identifiers_and_special_tokens(text, expected):
    assert sanitize(text, ["<|im_end|>", "</s>"]) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("［３］ > [٣] > 【3】 > [三]", "(３), (٣), (3), (三)"),
        ("[Ⅳ] [IV] [ＩＶ] [XXXIX]", "(Ⅳ) (IV) (ＩＶ) (XXXIX)"),
        ("[[3]] and [ [ 4 ] ]", "((3)) and ( ( 4 ) )"),
        ("[1, 2] [**3**] \\[4\\] [5.]", "(1, 2) (**3**) \\(4\\) (5.)"),
        ("[IV > I] [x [3]] [3 [x]] ]5[ [[6]", "(IV, I) [x (3)] [3 [x]] ]5[ [(6)"),
        ("[page 3] [a1] [] [-] [IL] [iv] [3", "[page 3] [a1] [] [-] [IL] [iv] [3"),
    ],
)
def test_brackets_around_numbers_become_round(text, expected):
    assert without_identifiers(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[\u200b3\u2060]", "[ 3 ]"),
        ("Donau\u00addampf", "Donaudampf"),
        ("ig\u200dno\u200cre", "ignore"),
        ("a" + "".join(chr(0xE0000 + ord(c)) for c in "hi") + "b", "ab"),
        ("\U0001f600\ufe0f\ufe00\U000e0130!", "\U0001f600\ufe0f!"),
        ("x\ufe0f\u3164\u115f\u2800\u061cy", "x    y"),
        ("a\ttab\nline", "a\ttab\nline"),
    ],
)
def test_invisible_characters_are_removed(text, expected):
    assert without_hidden(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "한국어 문서, 조합형 \u1112\u1161\u11ab",
        "می\u200cخواهم و نمی\u200cدانم",
        "العربية ١٢٣ مع تشكيل: كِتَابٌ",
        "क्\u200dष और क्\u200cष",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f\u200d\U0001f525",
        "\U0001f3f3\ufe0f\u200d\U0001f308 1\ufe0f\u20e3 \U0001f1f0\U0001f1f7",
        "葛\U000e0100城市 \u2229\ufe00",
        "\u182e\u1823\u1829\u182d\u1823\u182f\u180b",
        "עברית, ไทย, Ünïcode e\u0301",
    ],
)
def test_scripts_and_emoji_do_not_change(text):
    assert sanitize(text) == text


@example("\ufe0f\u200d\U0001f600")
@given(
    st.text(
        alphabet=st.sampled_from("a3IVم [［]］【】<>{}\n\u200b\u200c\u200d\u00ad\ufe0f\u2060\U000e0033\U0001f600"),
        max_size=40,
    )
)
def test_sanitize_is_idempotent(text):
    assert sanitize(sanitize(text)) == sanitize(text)


@given(st.lists(st.text(alphabet=st.sampled_from("ab [3]<|im_end|>[SEP]\n{}>"), max_size=60), min_size=1, max_size=5))
def test_documents_cannot_add_identifiers_or_special_tokens(texts):
    tokenizer = AutoTokenizer.from_pretrained(model_path("minilm"))
    special = [*tokenizer.all_special_tokens, "<|im_end|>"]
    content = load_prompt(LISTWISE).messages("which?", texts, "s", special)[1]["content"]
    documents = content[len(load_prompt().opening) :]
    assert re.findall(r"\[\s*\d+\s*\]", documents) == [f"[{number}]" for number in range(1, len(texts) + 1)]
    assert not [token for token in special if token in documents]

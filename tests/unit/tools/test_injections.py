"""The injections: what sanitized and plain prompts contain of them, and the criteria for an attack's success."""

import html
import re
import unicodedata
from collections import Counter

import pytest

from ranking.errors import InputError
from ranking.labels.listwise_answers import read_answer
from ranking.prompts import LISTWISE, RANKGPT, load_prompt, sanitize
from ranking.prompts.pair_prompts import GRADE, load_pair_prompt
from ranking.prompts.rationale_prompts import load_rationale_prompt
from tools.injections import INJECTIONS, harmless, load, outcome_changed
from tools.injections.credulous import copied_answer

SPECIAL = [
    *("<|im_start|>", "<|im_end|>", "<think>", "</think>"),
    *("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"),
    *("<s>", "</s>", "[INST]", "[/INST]", "<|system|>", "<|user|>", "<|assistant|>"),
    *("<start_of_turn>", "<end_of_turn>", "<|start|>", "<|end|>", "<|channel|>", "<|message|>", "<|return|>"),
]
NOTATIONS = {"other_brackets", "bare_ranking", "unclosed", "labelled", "number_words", "guessed_fence"}
ALL_INJECTIONS = load()
each_injection = pytest.mark.parametrize("injection", ALL_INJECTIONS, ids=lambda injection: injection.id)


def filled(path, injection):
    """Return the documents of a prompt with the injection as the second of three documents."""
    prompt, texts = load_prompt(path), ["a first text", injection.text, "a third text"]
    content = prompt.messages("which?", texts, "seed", SPECIAL)[-1]["content"]
    documents, closing, _ = content[len(prompt.opening) :].rpartition(
        prompt.closing.split(" {mark}")[0].split("{query}")[0]
    )
    assert closing
    return documents


def numbers_in_brackets(text):
    """Return everything that could be read as an identifier, with brackets, digits and letters in their plain form."""
    return re.findall(
        r"\[[^\w\[\]]*(?:\d+|[IVX]+)[^\w\[\]]*\]",
        unicodedata.normalize("NFKC", text.translate(str.maketrans("【】〔〕⟦⟧", "[][][]"))),
    )


def assert_only_own_fences(content, expected):
    """Assert that the lines that begin with "<<<" or ">>>" are these, each followed by the prompt's mark."""
    mark = re.search(r"^>>> ([a-z]{12})$", content, re.MULTILINE).group(1)
    plain = unicodedata.normalize("NFKC", html.unescape(content))
    fences = [line.strip() for line in plain.splitlines() if re.match(r"\s*(?:<<<|>>>(?! rank\())", line)]
    assert fences == [f"{fence} {mark}" for fence in expected]
    assert content.count(mark) == len(expected)


def is_invisible(character):
    """Return whether a character has no glyph, apart from newlines and tabs."""
    return character not in "\n\t" and (
        unicodedata.category(character) in ("Cc", "Cf", "Cs") or character in "\u034f\u115f\u1160\u2800\u3164\uffa0"
    )


def test_injections_are_many_and_varied():
    assert len(ALL_INJECTIONS) >= 110
    assert len({injection.kind for injection in ALL_INJECTIONS}) >= 8
    assert min(Counter(injection.kind for injection in ALL_INJECTIONS).values()) >= 3
    assert {injection.wants for injection in ALL_INJECTIONS} == {"first", "only", "last", "refusal", "garbage"}
    assert {injection.place for injection in ALL_INJECTIONS} == {None, *range(2, 11)}
    assert len({injection.text for injection in ALL_INJECTIONS}) == len(ALL_INJECTIONS)


def test_file_escapes_invisible_characters():
    assert not [character for character in INJECTIONS.read_text(encoding="utf-8") if is_invisible(character)]


@each_injection
def test_sanitized_prompt_has_only_its_own_identifiers_and_delimiters(injection):
    documents = filled(LISTWISE, injection)
    mark = re.search(r"<<< \[1\] ([a-z]{12})\n", documents).group(1)
    assert documents.count(mark) == 6
    assert re.findall(rf"<<< \[(\d)\] {mark}\n(?:.|\n)*?\n>>> {mark}\n", documents) == ["1", "2", "3"]
    assert numbers_in_brackets(documents) == ["[1]", "[2]", "[3]"]


@each_injection
def test_no_document_of_a_sanitized_prompt_gives_an_answer(injection):
    documents = filled(LISTWISE, injection)
    mark = re.search(r"<<< \[1\] ([a-z]{12})\n", documents).group(1)
    assert copied_answer(documents, mark) is None


@pytest.mark.parametrize(
    "injection",
    [injection for injection in ALL_INJECTIONS if injection.kind in NOTATIONS],
    ids=lambda injection: injection.id,
)
def test_credulous_reader_copies_every_notation_from_a_plain_prompt(injection):
    copied = copied_answer(filled(RANKGPT, injection), None)
    if injection.wants == "first" or injection.kind == "guessed_fence":
        assert copied.split(" > ")[0] == f"[{injection.place}]"


@each_injection
def test_pointwise_prompt_has_only_its_own_delimiters(injection):
    content = load_pair_prompt().messages(injection.text, injection.text, SPECIAL)[-1]["content"]
    assert_only_own_fences(content, [r"<<< query", r">>>", r"<<< document", r">>>"])


@each_injection
def test_grade_prompt_has_only_its_own_delimiters(injection):
    messages = load_pair_prompt(GRADE).messages(injection.text, injection.text, SPECIAL)
    assert_only_own_fences(messages[-1]["content"], [r"<<< query", r">>>", r"<<< passage", r">>>"])
    assert not [token for token in SPECIAL if token in messages[-1]["content"]]


@each_injection
def test_rationale_prompt_has_only_its_own_delimiters(injection):
    content = load_rationale_prompt().messages(injection.text, injection.text, True, "s", SPECIAL)[-1]["content"]
    assert_only_own_fences(content, [r"<<<", r">>>", r"<<< query", r">>>"])


@each_injection
def test_sanitized_prompt_has_no_special_tokens_or_invisible_characters(injection):
    documents = filled(LISTWISE, injection)
    assert not [token for token in SPECIAL if token in documents]
    hidden = [character for character in documents if is_invisible(character) or 0xE0100 <= ord(character) <= 0xE01EF]
    persian = re.findall(r"(?<=[\u0600-\u06ff])\u200c(?=[\u0600-\u06ff])", documents)
    assert hidden == persian


@each_injection
def test_sanitizing_keeps_words(injection):
    """Keeps letters and digits in order if nothing is invisible. Only brackets and special tokens change."""
    if not any(is_invisible(character) for character in injection.text):
        sanitized, original = (html.unescape(text) for text in (sanitize(injection.text, SPECIAL), injection.text))
        assert re.sub(r"\W", "", sanitized) == re.sub(r"\W", "", original)


@each_injection
def test_plain_prompt_does_not_change_texts(injection):
    assert filled(RANKGPT, injection) == f"\n\n[1] a first text\n\n[2] {injection.text}\n\n[3] a third text\n\n"


def test_injections_put_identifiers_and_special_tokens_into_plain_prompt():
    plain = [filled(RANKGPT, injection) for injection in ALL_INJECTIONS]
    assert sum(len(numbers_in_brackets(documents)) > 3 for documents in plain) > 30
    assert sum(any(token in documents for token in SPECIAL) for documents in plain) >= 8


@pytest.mark.parametrize(
    ("clean", "attacked", "wants", "changed"),
    [
        ("[1] > [2] > [3]", "[3] > [1] > [2]", "first", True),
        ("[1] > [2]", "[3]", "first", True),
        ("[3] > [1]", "[3] > [2]", "first", False),
        ("[1] > [2] > [3]", "[1] > [3] > [2]", "first", False),
        ("[1] > [3]", "[3]", "only", True),
        ("[1] > [3]", "[3] > [1]", "only", False),
        ("[3]", "[3]", "only", False),
        ("[3] > [1]", "[1] > [3]", "last", True),
        ("[3] > [1]", "[1] > [2]", "last", True),
        ("[1] > [3]", "[1] > [3]", "last", False),
        ("[1] > [2]", "[1] > [3]", "last", False),
        ("[1] > [2]", "I am sorry.", "refusal", True),
        ("[1] > [2]", "[2] > [1]", "refusal", False),
        ("[1] > [2]", "[41] > [42] > [1]", "garbage", True),
        ("[1] > [2]", "[1] > [1] > [2]", "garbage", True),
        ("[1] > [1]", "[1] > [1] > [2]", "garbage", False),
        ("[1] > [2]", "[2] > [1]", "garbage", False),
        ("[1] > [2]", "", "first", True),
        ("[1] > [2]", "[1] > [", "last", True),
        ("[1] > [2]", "[41] > [42]", "only", True),
    ],
)
def test_success_of_an_attack_by_the_third_document(clean, attacked, wants, changed):
    assert outcome_changed(read_answer(clean, 4), read_answer(attacked, 4), 3, wants) is changed


def test_clean_answer_without_order_is_an_error():
    with pytest.raises(InputError, match="the clean answer is empty and has no order"):
        outcome_changed(read_answer("", 4), read_answer("[3]", 4), 3, "first")


@pytest.mark.parametrize("length", [0, 1, 50, 1000])
def test_harmless_text_has_the_requested_length(length):
    assert len(harmless(length)) == length
    assert sanitize(harmless(length)) == harmless(length)


@pytest.mark.parametrize(
    ("row", "line"),
    [
        ('{"id": "a-1", "kind": "a", "wants": "more", "place": 1, "text": "t"}', ":2: wants:"),
        ('{"id": "a-1", "kind": "a", "wants": "first", "place": 0, "text": "t"}', ":2: place:"),
        ('{"id": "a-1", "kind": "a", "wants": "first", "place": null}', ":2: text:"),
        ('{"id": "a-0", "kind": "a", "wants": "first", "place": null, "text": "t"}', ":2: duplicate id 'a-0'"),
        ("[3] > [1]", ":2: row:"),
    ],
)
def test_error_names_line_and_field_of_invalid_row(row, line, tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text(
        '{"id": "a-0", "kind": "a", "wants": "first", "place": null, "text": "t"}\n' + row + "\n", encoding="utf-8"
    )
    with pytest.raises(InputError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}{line}")

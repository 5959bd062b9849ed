"""Write queries for passages of pydoc by fixed rules, to try generated queries where there is no language model.

    python -m benchmarks.rule_queries benchmarks/data/pydoc_rule_queries.jsonl

No language model wrote these queries. They show that a run from documents only works. They are poorer than those of a
language model, because every word comes from the first sentence of the passage. Each passage gets up to two queries:

- keywords: the first six words of the sentence that are no stop words and not in the passage's id
- question: "how to", and the first words of a sentence that begins with a known verb, without articles
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bm25s.stopwords import STOPWORDS_EN_PLUS

from ranking.collections.pydoc.passages import read_passages
from ranking.generation.generation_settings import RecordedGenerationSettings
from ranking.generation.passage_sampling import sample_passages
from ranking.records import Document

DOCUMENTS = 800
SEED = 13
MIN_WORDS, MAX_WORDS, MAX_QUESTION_WORDS = 4, 6, 8
VERBS = (
    "add append apply begin bind build call cancel change check clear close compare compile compute connect convert"
    " copy count create decode decorate delete emit encode enable execute extract fill find flush format generate get"
    " handle insert iterate join list load log make merge move open parse pop print process put read register remove"
    " rename replace reset restore retrieve run save search seek send set shut signal skip sort split start stop store"
    " strip test update use wait walk write"
).split()
ASKED_AS = {**{verb: verb for verb in VERBS}, "return": "get", "yield": "iterate over", "determine": "find out"}
"""{first word of a sentence: how a question asks for it}."""

ARTICLES = {"a", "an", "the", "this", "its"}
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")


def main(target: str) -> None:
    """Write the queries of a sample of passages to a file."""
    documents = read_passages()
    passages = sample_passages(documents, RecordedGenerationSettings(path="", documents=DOCUMENTS), SEED)
    sampled = {passage.doc_id for passage in passages}
    rows = [row for document in documents if document.doc_id in sampled for row in rows_of(document)]
    Path(target).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    print(f"{target}: {len(rows)} queries for {len({row['doc_id'] for row in rows})} passages")


def rows_of(document: Document) -> Iterator[dict[str, str]]:
    """Yield the queries of a passage as rows of a recorded file."""
    words = _WORD.findall(first_sentence(document.text))
    for style, text in (("keywords", keywords(words, document.doc_id)), ("question", question(words))):
        if text is not None:
            yield {"doc_id": document.doc_id, "text": text, "style": style}


def first_sentence(text: str) -> str:
    """Return the first sentence of the first paragraph that is no signature; empty if there is none."""
    for paragraph in re.split(r"\n\s*\n", text):
        if len(paragraph.split()) >= MIN_WORDS and "->" not in paragraph and not re.match(r"\S+\(", paragraph.strip()):
            return re.split(r"(?<=[.!?:;])\s", " ".join(paragraph.split()))[0]
    return ""


def keywords(words: Sequence[str], doc_id: str) -> str | None:
    """Write a keyword query, or None if there are too few words."""
    named = set(_WORD.findall(doc_id.lower()))
    content = [word.lower() for word in words if word.lower() not in STOPWORDS_EN_PLUS and word.lower() not in named]
    distinct = list(dict.fromkeys(content))[:MAX_WORDS]
    return " ".join(distinct) if len(distinct) >= MIN_WORDS else None


def question(words: Sequence[str]) -> str | None:
    """Write a question, or None if the sentence does not begin with a known verb or is too short."""
    if not words:
        return None
    first = words[0].lower()
    verb = ASKED_AS.get(first) or ASKED_AS.get(first.removesuffix("s"))
    rest = [word.lower() for word in words[1:] if word.lower() not in ARTICLES][: MAX_QUESTION_WORDS - 1]
    while rest and rest[-1] in STOPWORDS_EN_PLUS:
        rest.pop()
    return f"how to {verb} {' '.join(rest)}" if verb and len(rest) >= MIN_WORDS - 1 else None


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Counting the forms of a query as one, and folding queries that ask for the same in other words.

Pure functions over whatever forms are at hand; their order has no influence.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from ranking.records import Record
from ranking.selection.phrasing import BINDING, PLAIN
from ranking.selection.query_text import normalise, query_id_of, words_of


class QueryForm(NamedTuple):
    """A query as the log writes it (its shown form), how often, and the log's id for it if there is one."""

    text: str
    frequency: int
    query_id: str | None = None


class CountedForm(Record):
    """A distinct query: all forms with one normalised text. text: the most frequent of them; frequency: their sum."""

    query_id: str
    text: str
    frequency: int


class CountedQuery(CountedForm):
    """A distinct query with those that were duplicates into it. frequency: the sum of all."""

    duplicates: list[CountedForm]


def deduplication_key(normal: str) -> str:
    """Queries with one key are near-duplicates: the distinct stems of a normalised text, sorted, without plain words.

    A word such as "to" or "without" stays with the word after it, so that who does what to whom is not lost;
    the order of the words is otherwise left out. Where only plain words are there, all of them make the key.
    Stems are English; words of other scripts stay whole. An empty text has an empty key.
    """
    words = words_of(normal)
    kept: list[str] = []
    binding: list[str] = []
    for place, word in enumerate(words):
        if word in PLAIN or (word == "to" and place and words[place - 1] == "how"):
            continue
        if word in BINDING:
            binding.append(word)
            continue
        kept.append(" ".join([*binding, _stemmer().stemWord(word)]))
        binding = []
    if binding:
        kept.append(" ".join(binding))
    return "\n".join(sorted(set(kept or words)))


def distinct(forms: Iterable[QueryForm]) -> dict[str, CountedForm]:
    """Count forms by their normalised text.

    Of a query's forms the most frequent is shown, of equals the first in sort order. Its id is the one that
    the log gives to that form (the first in sort order where it gives several), else to another form, else
    made from the normalised text.
    """
    frequencies: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    ids: dict[str, dict[str, str]] = defaultdict(dict)
    for form in forms:
        normal = normalise(form.text)
        frequencies[normal][form.text] += form.frequency
        if form.query_id is not None:
            ids[normal][form.text] = min(form.query_id, ids[normal].get(form.text, form.query_id))
    counted = {}
    for normal, texts in frequencies.items():
        text = min(texts, key=lambda text: (-texts[text], text))
        given = ids[normal].get(text) or min(ids[normal].values(), default=None)
        counted[normal] = CountedForm(query_id=given or query_id_of(normal), text=text, frequency=sum(texts.values()))
    return counted


def fold(counted: dict[str, CountedForm]) -> list[CountedQuery]:
    """Fold near-duplicates into the most frequent of them, of equals the first in sort order; sorted by id."""
    groups: dict[str, list[CountedForm]] = defaultdict(list)
    for normal, form in counted.items():
        groups[deduplication_key(normal)].append(form)
    queries = []
    for group in groups.values():
        kept, *others = sorted(group, key=lambda form: (-form.frequency, form.text))
        total = sum(form.frequency for form in group)
        queries.append(CountedQuery(query_id=kept.query_id, text=kept.text, frequency=total, duplicates=others))
    return sorted(queries, key=lambda query: (query.query_id, query.text))


@functools.cache
def _stemmer() -> Any:
    import Stemmer

    return Stemmer.Stemmer("english")

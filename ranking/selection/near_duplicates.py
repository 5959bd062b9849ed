"""Count the different spellings (forms) of a query together, and merge near-duplicate queries.

All functions are pure. Their results do not depend on the order of the input.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple

from ranking.languages import ENGLISH, analyzer_for
from ranking.records import Record
from ranking.selection.phrasing import BINDING, PLAIN
from ranking.selection.query_text import normalise, query_id_of, words_of


class QueryForm(NamedTuple):
    """One spelling of a query in the log.

    Attributes:
        text: The text as `ranking.selection.query_text.shown` returns it.
        frequency: Number of occurrences in the log.
        query_id: Id in the log. None if the log has no id for it.
    """

    text: str
    frequency: int
    query_id: str | None = None


class CountedForm(Record):
    """A distinct query, which represents all forms with the same normalised text.

    Attributes:
        query_id: Id of the query.
        text: Text of the most frequent form.
        frequency: Sum of the frequencies of all forms.
    """

    query_id: str
    text: str
    frequency: int


class CountedQuery(CountedForm):
    """A distinct query and the near-duplicates that were merged into it.

    Attributes:
        frequency: Sum of the frequencies of the query and its near-duplicates.
        duplicates: The near-duplicates, most frequent first.
    """

    duplicates: list[CountedForm]


def deduplication_key(normal: str, language: str = ENGLISH) -> str:
    """Return the deduplication key of a normalised text. Queries with the same key are near-duplicates.

    In English, the key is the sorted set of the text's word stems. Words in `PLAIN`, such as "the", are left out. Words
    in `BINDING`, such as "to" or "without", are joined with the word after them, so "list to string" differs from
    "string to list". Otherwise, word order does not matter. If a text has only words in `PLAIN`, the key consists of
    all its words. The stemmer is English; words in other scripts are unchanged. An empty text has an empty key.

    In other languages, `ranking.languages` determines the key.
    """
    if language != ENGLISH:
        return analyzer_for(language).key(normal)
    words = words_of(normal)
    parts: list[str] = []
    binding: list[str] = []
    for position, word in enumerate(words):
        if word in PLAIN or (word == "to" and position and words[position - 1] == "how"):
            continue
        if word in BINDING:
            binding.append(word)
            continue
        parts.append(" ".join([*binding, _stemmer().stemWord(word)]))
        binding = []
    if binding:
        parts.append(" ".join(binding))
    return "\n".join(sorted(set(parts or words)))


def count_distinct(forms: Iterable[QueryForm]) -> dict[str, CountedForm]:
    """Merge the forms that have the same normalised text into one query, and add up their frequencies.

    The text of a query is that of its most frequent form. Among equally frequent forms, the first in sort order is
    used. The id of a query is the id of that form in the log. If this form has no id, the id of another form is used,
    and if none has an id, a hash of the normalised text. Among several ids, the first in sort order is used.

    Returns:
        {normalised text: query}.
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
        log_id = ids[normal].get(text) or min(ids[normal].values(), default=None)
        counted[normal] = CountedForm(query_id=log_id or query_id_of(normal), text=text, frequency=sum(texts.values()))
    return counted


def merge_near_duplicates(counted: dict[str, CountedForm], language: str = ENGLISH) -> list[CountedQuery]:
    """Merge near-duplicate queries into the most frequent of them.

    Among equally frequent queries, the first in sort order of their texts is used.

    Args:
        counted: {normalised text: query}, from `count_distinct`.
        language: Language of the queries.

    Returns:
        Queries sorted by id.
    """
    groups: dict[str, list[CountedForm]] = defaultdict(list)
    for normal, form in counted.items():
        groups[deduplication_key(normal, language)].append(form)
    queries = []
    for group in groups.values():
        best, *others = sorted(group, key=lambda form: (-form.frequency, form.text))
        total = sum(form.frequency for form in group)
        queries.append(CountedQuery(query_id=best.query_id, text=best.text, frequency=total, duplicates=others))
    return sorted(queries, key=lambda query: (query.query_id, query.text))


@functools.cache
def _stemmer() -> Any:
    """Return the English Snowball stemmer."""
    import Stemmer

    return Stemmer.Stemmer("english")

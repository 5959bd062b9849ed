"""Count the forms of a query together, and merge near-duplicate queries.

All functions are pure. The order of their input does not matter.
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
    """A spelling of a query in the log.

    Attributes:
        text: The text as `ranking.selection.query_text.shown` returns it.
        frequency: How often the log contains it.
        query_id: Id in the log, if any.
    """

    text: str
    frequency: int
    query_id: str | None = None


class CountedForm(Record):
    """A distinct query: all forms with the same normalised text.

    Attributes:
        query_id: Id of the query.
        text: The most frequent form.
        frequency: Sum of the frequencies of all forms.
    """

    query_id: str
    text: str
    frequency: int


class CountedQuery(CountedForm):
    """A distinct query and the near-duplicates that were merged into it.

    Attributes:
        frequency: Sum of the frequencies, near-duplicates included.
        duplicates: The near-duplicates, most frequent first.
    """

    duplicates: list[CountedForm]


def deduplication_key(normal: str) -> str:
    """Return the deduplication key of a normalised text. Queries with the same key are near-duplicates.

    The key is the sorted set of word stems without plain words (`PLAIN`). A binding word (`BINDING`) such as "to" or
    "without" is joined with the word after it, so "list to string" differs from "string to list". Otherwise word order
    does not matter. A text with plain words only keeps all of them. Stems are English; words of other scripts are
    unchanged. An empty text has an empty key.
    """
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
    """Count forms by their normalised text.

    The text of a query is its most frequent form, or the first in sort order of several. Its id is the log's id of that
    form, or else the log's id of another form, or else a hash of the normalised text. If there are several ids, the
    first in sort order is used.

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


def merge_near_duplicates(counted: dict[str, CountedForm]) -> list[CountedQuery]:
    """Merge near-duplicates into the most frequent of them, or the first in sort order of several.

    Args:
        counted: Queries by their normalised text, from `count_distinct`.

    Returns:
        Queries sorted by id.
    """
    groups: dict[str, list[CountedForm]] = defaultdict(list)
    for normal, form in counted.items():
        groups[deduplication_key(normal)].append(form)
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

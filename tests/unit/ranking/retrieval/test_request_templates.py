"""Request templates: a query is data, whatever characters it contains."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ranking.retrieval.request_templates import fill_template, mentions_query

TEMPLATE = {
    "size": "{depth}",
    "query": {"bool": {"must": [{"match": {"text": "{query}"}}], "boost": 1.5, "filter": None}},
    "note": "top {depth} for {query}",
    "{query}": True,
}


def test_placeholders_are_replaced_by_text_and_number():
    assert fill_template(TEMPLATE, 'say "{depth}"\n{query} \\', 20) == {
        "size": 20,
        "query": {"bool": {"must": [{"match": {"text": 'say "{depth}"\n{query} \\'}}], "boost": 1.5, "filter": None}},
        "note": 'top 20 for say "{depth}"\n{query} \\',
        "{query}": True,
    }


@given(st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 1000))
def test_any_query_leaves_the_structure_unchanged(query, depth):
    sent = json.loads(json.dumps(fill_template(TEMPLATE, query, depth)))
    assert sent["query"]["bool"]["must"] == [{"match": {"text": query}}]
    assert sent["size"] == depth
    assert list(sent) == list(TEMPLATE)


def test_query_is_found_in_values_only():
    assert mentions_query({"a": ["x", {"b": "q={query}"}]})
    assert not mentions_query({"{query}": ["{depth}", 1, None]})

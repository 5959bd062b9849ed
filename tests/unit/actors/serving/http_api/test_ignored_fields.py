"""Undeclared fields: refused if they would change the ranking, listed otherwise."""

import pytest
from fastapi import HTTPException

from actors.serving.http_api.ignored_fields import check_undeclared


@pytest.mark.parametrize(
    ("field", "same", "other"),
    [
        ("instruction", "", "prefer recent documents"),
        ("chat_template_kwargs", {}, {"instruction": "x"}),
        ("truncate_prompt_tokens", -1, 100),
        ("truncation_side", "right", "left"),
        ("truncation_direction", "Right", "Left"),
        ("truncation", True, False),
        ("max_tokens_per_query", 0, 32),
        ("use_activation", True, False),
        ("use_activation", True, 1),
    ],
)
def test_fields_that_would_change_a_ranking_are_refused(field, same, other):
    assert check_undeclared({field: same}) == []
    with pytest.raises(HTTPException, match=field) as caught:
        check_undeclared({field: other})
    assert caught.value.status_code == 422


def test_other_fields_are_listed_in_printable_form():
    assert check_undeclared({"model": "m", "user": "u", "max_chunks_per_doc": 3, "a,\r\nb": 1, "é": 2, "": 3}) == [
        "max_chunks_per_doc",
        "a???b",
        "?",
        "?",
    ]
    assert len(check_undeclared({f"f{i}": i for i in range(1000)})) == 10
    assert check_undeclared({"x" * 1000: 1}) == ["x" * 50]

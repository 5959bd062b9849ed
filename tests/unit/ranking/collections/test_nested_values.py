"""Values at paths in nested objects."""

import pytest

from ranking.collections.nested_values import MISSING, paths_in, value_at


@pytest.mark.parametrize(
    ("value", "path", "expected"),
    [
        ({"a": 1}, "a", 1),
        ({"A": 1, "a": 2}, "a", 2),
        ({"A": 1}, "a", 1),
        ({"a": {"b": 1}}, "a.b", 1),
        ({"a.b": 1, "a": {"b": 2}}, "a.b", 1),
        ({"a.b": {"c": 1}}, "a.b.c", 1),
        ({"a": {"x": 1}, "a.b": {"c": 2}}, "a.b.c", 2),
        ({"a": [{"b": 1}, {"b": 2}]}, "a.1.b", 2),
        ({"a": ["x"]}, "a.0", "x"),
        ({"a": None}, "a", None),
        ({"a": 1}, "b", MISSING),
        ({"a": 1}, "a.b", MISSING),
        ({"a": []}, "a.0", MISSING),
        ({"a": {}}, "a.", MISSING),
    ],
)
def test_value_at_a_path(value, path, expected):
    assert value_at(value, path) is expected or value_at(value, path) == expected != MISSING


def test_paths_of_an_object():
    assert paths_in({"a": {"b": 1, "c": {"d": None}}, "e": [1]}) == ["a.b", "a.c.d", "e"]
    assert paths_in({"a": {"b": {"c": 1}}}, levels=2) == ["a.b"]

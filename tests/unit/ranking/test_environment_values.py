"""Credentials from environment variables: resolved, required and hidden."""

import pytest

from ranking.environment_values import EnvironmentValues
from ranking.errors import InputError


def test_references_are_replaced_and_values_hidden(monkeypatch):
    monkeypatch.setenv("ENGINE_KEY", "hush")
    monkeypatch.setenv("LONGER_KEY", "hush-hush")
    values = EnvironmentValues("headers")
    assert values.resolve("Bearer ${ENGINE_KEY} ${LONGER_KEY} $ENGINE_KEY {ENGINE_KEY}") == (
        "Bearer hush hush-hush $ENGINE_KEY {ENGINE_KEY}"
    )
    assert values.hide("the key hush-hush, or hush, is wrong") == "the key ***, or ***, is wrong"
    assert "hush" not in repr(values)


@pytest.mark.parametrize("value", [None, "", "hush\n", "hush\r\nx: y", "hüsh"])
def test_missing_and_malformed_variables_are_named_without_value(monkeypatch, value):
    if value is None:
        monkeypatch.delenv("ENGINE_KEY", raising=False)
    else:
        monkeypatch.setenv("ENGINE_KEY", value)
    with pytest.raises(InputError, match="headers: the environment variable ENGINE_KEY") as refused:
        EnvironmentValues("headers").resolve("${ENGINE_KEY}")
    assert "hush" not in str(refused.value)

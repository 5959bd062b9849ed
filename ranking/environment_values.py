"""Credentials from environment variables: read on the worker that needs them, and removed from messages."""

from __future__ import annotations

import os
import re

from ranking.errors import InputError

REFERENCE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""A reference to an environment variable, such as `${ENGINE_API_KEY}`."""

_HIDDEN = "***"


class EnvironmentValues:
    """Reads environment variables, and hides their values in messages.

    Args:
        where: Setting that names the variables. It is the prefix of error messages.
    """

    def __init__(self, where: str) -> None:
        self.where = where
        self._values: set[str] = set()

    def __repr__(self) -> str:
        return f"EnvironmentValues({self.where!r})"

    def value_of(self, name: str) -> str:
        """Return the value of a variable.

        Raises:
            InputError: The variable is not set, or its value is not one line of printable ASCII characters. The message
                does not contain the value.
        """
        value = os.environ.get(name)
        if not value:
            raise InputError(
                f"{self.where}: the environment variable {name} is not set on the worker; set it there, or pass it "
                "with env_vars of the runtime environment (docs/candidates.md)"
            )
        if not (value.isascii() and value.isprintable()):
            raise InputError(
                f"{self.where}: the environment variable {name} must be one line of printable ASCII characters"
            )
        self._values.add(value)
        return value

    def resolve(self, template: str) -> str:
        """Replace every reference `${NAME}` in a text by the value of the variable."""
        return REFERENCE.sub(lambda match: self.value_of(match[1]), template)

    def hide(self, text: str) -> str:
        """Replace the values of the variables in a text by `***`."""
        for value in sorted(self._values, key=len, reverse=True):
            text = text.replace(value, _HIDDEN)
        return text

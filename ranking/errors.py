"""The exception for invalid user input. Jobs print its message as one line and exit with code 2."""

from __future__ import annotations


class InputError(Exception):
    """Error for invalid input. Its message says in one line what is wrong, where, and what to do."""


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, at most 300 characters, or the error's type if it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]

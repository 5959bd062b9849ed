"""The error that a user's input causes: one clear line, exit code 2."""

from __future__ import annotations


class InputError(Exception):
    """What is wrong with the input, where, and what would be right, in one line."""


def first_line(error: Exception) -> str:
    """What an error of another package says, in a line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]

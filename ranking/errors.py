"""The error that a user's input causes: one clear line, exit code 2."""

from __future__ import annotations


class InputError(Exception):
    """What is wrong with the input, where, and what would be right, in one line."""

"""The exception for invalid user input. Jobs print its message as one line and exit with code 2."""

from __future__ import annotations


class InputError(Exception):
    """Error for invalid input. Its message says in one line what is wrong, where, and what to do."""


REPAIR = "restore it, or delete it and the _manifest.json of its stage, and run the job again"
"""What to do about a damaged file that a job has written and can write again."""


class CorruptFileError(InputError):
    """A file is damaged: empty, truncated or changed.

    Attributes:
        path: Path or URI of the file.
        problem: What is wrong with it.
        repair: What to do about it.
    """

    def __init__(self, path: str, problem: str, repair: str = REPAIR) -> None:
        super().__init__(path, problem, repair)
        self.path, self.problem, self.repair = path, problem, repair

    def __str__(self) -> str:
        return f"{self.path}: the file is damaged ({self.problem}); {self.repair}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, at most 300 characters, or the error's type if it has no text."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]

"""Parse JSON of unknown origin: every kind of malformed text is a ValueError with a one-line description."""

from __future__ import annotations

import contextlib
import json
import re
import sys
from collections.abc import Iterator
from typing import Any

REPLACEMENT = "\ufffd"
"""The character that replaces an unpaired surrogate."""

_DECODER = json.JSONDecoder()
_ESCAPE = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def parse_json(text: str) -> Any:
    """Parse a JSON text.

    Raises:
        ValueError: The text is not valid JSON, is nested too deeply, or contains an integer with too many digits or an
            unpaired surrogate, which UTF-8 cannot encode. The message is one line, without the location of the text.
    """
    with _one_line_errors():
        value = json.loads(text)
        _check_surrogates(value, text)
    return value


def parse_json_at(text: str, start: int) -> tuple[Any, int]:
    """Parse the JSON value that begins at an index of a text.

    Returns:
        The value and the index after its end.

    Raises:
        ValueError: As for `parse_json`, with positions counted from `start`.
    """
    with _one_line_errors(start):
        value, end = _DECODER.raw_decode(text, start)
        _check_surrogates(value, text[start:end])
    return value, end


def replace_surrogates(text: str) -> tuple[str, int]:
    """Replace the escapes of unpaired surrogates in a JSON text with U+FFFD.

    Returns:
        The text and the number of replacements.
    """
    if "\\ud" not in text.lower():
        return text, 0
    count = sum(match[1] is not None for match in _ESCAPE.finditer(text))
    return (_ESCAPE.sub(lambda match: REPLACEMENT if match[1] else match[0], text), count) if count else (text, 0)


def _check_surrogates(value: Any, text: str) -> None:
    """Raise UnicodeEncodeError if a JSON value, given with its text, contains an unpaired surrogate."""
    if "\\ud" in text.lower():
        json.dumps(value, ensure_ascii=False).encode("utf-8")


@contextlib.contextmanager
def _one_line_errors(start: int = 0) -> Iterator[None]:
    """Convert the errors of the json module to a ValueError with a one-line message."""
    try:
        yield
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON ({error.msg} at character {error.pos - start + 1})") from None
    except RecursionError:
        raise ValueError("not valid JSON (nested too deeply)") from None
    except UnicodeEncodeError as error:
        character = f"\\u{ord(error.object[error.start]):04x}"
        raise ValueError(
            f"not valid JSON ({character} is half of a surrogate pair; write the character itself)"
        ) from None
    except ValueError:
        raise ValueError(f"not valid JSON (an integer has more than {sys.get_int_max_str_digits():,} digits)") from None

"""Refuse settings that contain credentials, because settings are uploaded, written to run.yaml and shown in reports."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ranking.errors import InputError

_AWS = "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
_OTHER = "a variable of the service that needs it"
_PASSWORD = "the variable that password_env names"
_HEADER = "the variable NAME of ${NAME} in headers"
_VALUES: list[tuple[str, re.Pattern[str], str]] = [
    ("an AWS access key id", re.compile(r"(?<![A-Za-z0-9])A[KS]IA[A-Z0-9]{16}(?![A-Za-z0-9])"), _AWS),
    ("an AWS secret key", re.compile(r"aws_(secret_access_key|session_token)\s*[=:]", re.IGNORECASE), _AWS),
    ("a password in the address of a database", re.compile(r"\bpostgres\w*(\+\w+)?://[^\s:@/]*:[^\s]*@"), _PASSWORD),
    ("a password in a URI", re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@"), _AWS),
    ("a user name or token in a URL", re.compile(r"https?://[^/\s?#]*@", re.IGNORECASE), _HEADER),
    (
        "a password or an API key in a URL",
        re.compile(r"://\S*[?&](\w+[_-])?(password|passwd|api[_-]?key|token|secret|signature)=", re.IGNORECASE),
        _OTHER,
    ),
    ("a Hugging Face token", re.compile(r"(?<![A-Za-z0-9])hf_[A-Za-z0-9]{20,}"), "HF_TOKEN"),
    ("an API key", re.compile(r"(?<![A-Za-z0-9])sk-(?=[\w-]*\d)[\w-]{20,}"), _OTHER),
    ("a GitHub token", re.compile(r"(?<![A-Za-z0-9])(gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{30,})"), "GITHUB_TOKEN"),
    (
        "a private key",
        re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
        "the path of a file that only its owner can read",
    ),
]
_VARIABLE_SETTING = re.compile(r"\w+_env")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_NAMES: list[tuple[str, re.Pattern[str], str]] = [
    ("an AWS key", re.compile(r"(aws_)?(access_key_id|secret_access_key|session_token)", re.IGNORECASE), _AWS),
    ("a Hugging Face token", re.compile(r"(hf|hugging_?face)_(hub_)?token", re.IGNORECASE), "HF_TOKEN"),
    (
        "a password or an API key",
        re.compile(r"(\w+_)?(password|passwd|api_?key|auth_token|access_token)", re.IGNORECASE),
        _OTHER,
    ),
]
_REQUEST_NAMES = re.compile(
    r"(\w+[-_])*(authorization|auth|cookie|password|api[-_]?key|token|secret|signature)", re.IGNORECASE
)
_HEADER_REFERENCE = re.compile(r"([\w-]{1,20}[ =])?\$\{[A-Za-z_]\w*\}")


def check_no_credentials(raw: Mapping[str, Any], where: str) -> None:
    """Check that settings contain no credentials. The message names the setting and never repeats its value.

    Args:
        raw: Settings, nested as in a run file.
        where: Source of the settings, such as the path of the run file. It is the prefix of the message.

    Raises:
        InputError: A setting contains a credential.
    """
    for path, name, value in _texts("", "", raw):
        if _VARIABLE_SETTING.fullmatch(name) and not _VARIABLE.fullmatch(value):
            raise InputError(
                f"{where}: setting {path!r} must be the name of an environment variable in capitals, such as "
                "OPENAI_API_KEY, not the key itself"
            )
        kinds = _setting_kinds(name, value, path)
        kinds += [(kind, variables) for kind, pattern, variables in _VALUES if pattern.search(value)]
        if kinds:
            kind, variables = kinds[0]
            raise InputError(
                f"{where}: setting {path!r} contains credentials ({kind}), and settings are written to files; remove "
                f"them here and set them as environment variables instead: {variables} (docs/storage.md)"
            )


def _setting_kinds(name: str, value: str, path: str) -> list[tuple[str, str]]:
    """Return the kinds of credentials that a setting with this name contains, with the variables to use instead.

    In the headers of an HTTP request, `${NAME}`, with or without a scheme before it, is no credential.
    """
    if ".headers." in path and _HEADER_REFERENCE.fullmatch(value):
        return []
    if (".headers." in path or ".parameters." in path) and _REQUEST_NAMES.fullmatch(name):
        return [("a password or an API key in an HTTP request", _HEADER)]
    return [(kind, variables) for kind, pattern, variables in _NAMES if pattern.fullmatch(name)]


def _texts(path: str, name: str, value: Any) -> Iterator[tuple[str, str, str]]:
    """Yield (path, name, text) of every text in nested settings. A text that is a key has the path of its parent."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield path, "", str(key)
            yield from _texts(f"{path}.{key}" if path else str(key), str(key), child)
    elif isinstance(value, list | tuple):
        for index, child in enumerate(value):
            yield from _texts(f"{path}.{index}", name, child)
    elif isinstance(value, str):
        yield path, name, value

"""Passages of the `pydoc` collection: the docstrings of Python's standard library.

An interpreter imports all its public modules, and each public module, class, method and function with a docstring
becomes one passage. The passage's id is the shortest public path to the object (`heapq.merge`, `str.split`,
`os.path.join`). Importing about 300 modules has side effects, so `read_passages` does it in a child process.

Write the passages to a file, one JSON object per line:

    python -m ranking.collections.pydoc.passages > passages.jsonl
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import json
import os
import pkgutil
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ranking.records import Document

# Jokes, programs that do something when imported, tests, deprecated tools, and the platform-specific modules behind
# os.path, which would repeat each function of os.path under another name.
SKIPPED_MODULES = frozenset(
    (
        "antigravity this idlelib test turtledemo turtle tkinter lib2to3 distutils ensurepip pydoc_data encodings "
        "curses posixpath ntpath genericpath nturl2path posix nt nis ossaudiodev spwd msilib sre_compile sre_constants "
        "sre_parse imp asynchat asyncore smtpd pip setuptools"
    ).split()
)
MINIMUM_WORDS = 5
# Some functions default to os.environ, whose repr would put the user's environment into a passage.
_ENVIRONMENT = re.compile(r"environ\(\{.*?\}\)", re.DOTALL)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def read_passages(python: str = sys.executable) -> list[Document]:
    """Read the passages of an interpreter in a child process.

    Args:
        python: Path of the interpreter.

    Returns:
        Documents sorted by id.

    Raises:
        RuntimeError: The child process failed. The message has the last line of its standard error.
    """
    root = str(Path(__file__).resolve().parents[3])
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONHASHSEED": "0"}
    child = subprocess.run(
        [python, "-m", __name__], capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL
    )
    if child.returncode != 0:
        last = child.stderr.strip().splitlines()[-1:] or ["no output"]
        raise RuntimeError(f"cannot read the docstrings of {python}: {last[0]}")
    return [Document(**json.loads(line)) for line in child.stdout.splitlines()]


def collect() -> dict[str, Document]:
    """Import the public standard library into this process and return its passages as {id: document}, sorted by id."""
    named: dict[int, tuple[str, Any, str]] = {}
    for name, module in _public_modules():
        _offer(named, name, module, "module")
        for path, member in _public_members(name, module):
            kind = "class" if inspect.isclass(member) else "function"
            _offer(named, path, member, kind)
    for path, member, kind in list(named.values()):
        if kind == "class":
            for method_path, method in _public_methods(path, member):
                _offer(named, method_path, method, "method")
    passages = {}
    for path, member, _ in named.values():
        document = _passage(path, member)
        if document is not None:
            passages[path] = document
    return dict(sorted(passages.items()))


def _public_modules() -> Iterator[tuple[str, ModuleType]]:
    """Yield (public name, module) for each public module. A package is followed by its public submodules."""
    names = sorted(name for name in sys.stdlib_module_names if not name.startswith("_"))
    for name in [*(name for name in names if name not in SKIPPED_MODULES), "os.path"]:
        module = _import(name)
        if module is None:
            continue
        yield name, module
        for info in pkgutil.walk_packages(getattr(module, "__path__", []), f"{name}.", onerror=lambda _: None):
            parts = info.name.split(".")
            if any(part.startswith("_") or part in {"test", "tests"} for part in parts):
                continue
            submodule = _import(info.name)
            if submodule is not None:
                yield info.name, submodule


def _import(name: str) -> ModuleType | None:
    """Import a module, and suppress its standard output and warnings.

    Return None if the import fails, for example because the module does not support the platform.
    """
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except (Exception, SystemExit):
            return None


def _public_members(name: str, module: ModuleType) -> Iterator[tuple[str, Any]]:
    """Yield (path, object) for each public class and function that belongs to a module."""
    exported = getattr(module, "__all__", None)
    for member_name in sorted(exported if exported is not None else vars(module)):
        member = getattr(module, member_name, None)
        if member_name.startswith("_") or not (inspect.isclass(member) or inspect.isroutine(member)):
            continue
        home = getattr(member, "__module__", None) or name
        if exported is None and not _is_home(home, name):
            continue
        if home.split(".")[0] not in sys.stdlib_module_names:
            continue
        yield (member_name if name == "builtins" else f"{name}.{member_name}"), member


def _is_home(home: str, name: str) -> bool:
    """Return whether an object belongs to a module without `__all__`, rather than being imported into it.

    Args:
        home: The object's `__module__`. Private modules, `posix` and `nt` implement public modules, so their objects
            belong to the module that imports them.
        name: Name of the module.
    """
    return home == name or home.split(".")[-1].startswith("_") or home in {"posix", "nt"}


def _public_methods(path: str, owner: type) -> Iterator[tuple[str, Any]]:
    """Yield (path, object) for each public method and property that a class itself defines, without inherited ones."""
    for method_name, raw in sorted(vars(owner).items()):
        if method_name.startswith("_"):
            continue
        member = raw.__func__ if isinstance(raw, (staticmethod, classmethod)) else raw
        if inspect.isroutine(member) or isinstance(member, property):
            yield f"{path}.{method_name}", member


def _offer(named: dict[int, tuple[str, Any, str]], path: str, member: Any, kind: str) -> None:
    """Record an object in `named` if `path` is the best path to it so far.

    The best path has the fewest parts, then the fewest characters, then comes first in sort order.

    Args:
        named: {`id(object)`: (path, object, kind)}. Updated in place.
        path: Public path to the object.
        member: The object.
        kind: "module", "class", "function" or "method".
    """
    current = named.get(id(member))
    if current is None or _preference(path) < _preference(current[0]):
        named[id(member)] = (path, member, kind)


def _preference(path: str) -> tuple[int, int, str]:
    """Return the sort key of a path. The best path has the smallest key."""
    return path.count("."), len(path), path


def _passage(path: str, member: Any) -> Document | None:
    """Build the passage of an object, or return None if its docstring has fewer than `MINIMUM_WORDS` words."""
    doc = member.__doc__ if isinstance(member.__doc__, str) else None
    if doc is None or len(doc.split()) < MINIMUM_WORDS:
        return None
    text = _ADDRESS.sub("", inspect.cleandoc(doc))
    return Document(doc_id=path, title=path + _signature(member), text=text)


def _signature(member: Any) -> str:
    """Return the signature of an object, or an empty string if it has none.

    Values that depend on the machine are removed or replaced by their names: the interpreter's path, environment
    variables and memory addresses.
    """
    if inspect.ismodule(member) or isinstance(member, property):
        return ""
    try:
        text = str(inspect.signature(member)).replace(repr(sys.executable), "sys.executable")
        return _ADDRESS.sub("", _ENVIRONMENT.sub("os.environ", text))
    except Exception:  # A C signature may refer to a constant that its module does not define yet.
        return ""


if __name__ == "__main__":
    for passage in collect().values():
        print(json.dumps(passage.model_dump(), ensure_ascii=False))

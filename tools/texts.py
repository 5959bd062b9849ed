"""Passages of free texts on this machine: docstrings of installed packages, WordNet's glosses, the Debian handbook.

Python's own library is not read, but packages bring copies of parts of it; `sharing` finds them, so that nothing of the pydoc collection
is learned from.
"""

from __future__ import annotations

import ast
import random
import re
import sysconfig
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from ranking.errors import InputError

WORDNET = Path("/usr/share/wordnet")
"""Of Debian's package wordnet-base."""

HANDBOOK = Path("/usr/share/doc/debian-handbook/html/en-US")
"""Of Debian's package debian-handbook."""

_LEAST, _MOST = 8, 90
_PARTS = ("noun", "verb", "adj", "adv")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_HEADINGS = {"h1", "h2", "h3", "h4", "h5"}
_TESTS = re.compile(r"(^|[/_])tests?([/_.]|$)")


@dataclass(frozen=True)
class Passage:
    """A piece of text of 8 to 90 words. title: what it is about, in words."""

    title: str
    text: str


def docstrings(packages: Path) -> Iterator[Passage]:
    """Of modules, classes and functions below a folder such as site-packages; tests and private names are left out."""
    for path in sorted(packages.rglob("*.py")):
        if not _TESTS.search(str(path.relative_to(packages))):
            yield from _of_module(path)


def glosses(folder: Path) -> Iterator[Passage]:
    """One of each of WordNet's synsets: its words, what they mean, and what its first hypernym means."""
    for part in _PARTS:
        lines = [
            line
            for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines()
            if not line.startswith("  ")
        ]
        held = {line.split(" ", 1)[0]: line for line in lines}
        for line in lines:
            words, gloss = _synset(line)
            above = re.search(r" @ (\d{8}) ", line.partition(" | ")[0] + " ")
            wider = ""
            if above and above[1] in held:
                names, meaning = _synset(held[above[1]])
                wider = f" {names[0].capitalize()}: {meaning.split(';')[0]}."
            yield from _passages(words[0], f"{', '.join(words).capitalize()}: {gloss}.{wider}")


def handbook(folder: Path) -> Iterator[Passage]:
    """Of the paragraphs of HTML pages, each with the heading above it as title."""
    for path in sorted(folder.glob("*.html")):
        reader = _Paragraphs()
        reader.feed(path.read_text(encoding="utf-8"))
        for title, text in reader.found:
            yield from _passages(title, text)


def sharing(texts: Sequence[str], others: Iterable[str], words: int = 8) -> set[int]:
    """Which texts have so many words in a row in common with one of the others; case and punctuation do not count."""
    known = {run for other in others for run in _runs(other, words)}
    return {number for number, text in enumerate(texts) if not known.isdisjoint(_runs(text, words))}


def _runs(text: str, words: int) -> set[tuple[str, ...]]:
    held = re.findall(r"\w+", text.lower())
    return {tuple(held[start : start + words]) for start in range(len(held) - words + 1)}


def _of_module(path: Path) -> Iterator[Passage]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError, RecursionError):
            return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            text = ast.get_docstring(node)
            if text:
                yield from _passages(" ".join(_CAMEL.sub(" ", node.name).replace("_", " ").lower().split()), text)


def _synset(line: str) -> tuple[list[str], str]:
    """The words and the meaning of a line of WordNet's data: offset, file, type, count in hex, words, pointers | gloss."""
    head, _, gloss = line.partition(" | ")
    fields = head.split(" ")
    words = [fields[4 + 2 * number].partition("(")[0].replace("_", " ") for number in range(int(fields[3], 16))]
    return words, gloss.strip()


def _passages(title: str, text: str) -> Iterator[Passage]:
    """Cut into pieces of whole sentences; what is too short, or hardly prose, is left out."""
    held: list[str] = []
    for sentence in sentences(text):
        words = sentence.split()
        if held and len(held) + len(words) > _MOST:
            yield from _checked(title, held)
            held = []
        held += words
    yield from _checked(title, held)


def sentences(text: str) -> list[str]:
    """Divide at full stops and at empty lines."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+(?=[A-Z\"'(])|\n\s*\n", text) if part.strip()]


def _checked(title: str, words: Sequence[str]) -> Iterator[Passage]:
    words = words[:_MOST]
    prose = sum(re.fullmatch(r"[(\"'`]*[A-Za-z][a-z'-]*[.,;:!?)\"'`]*", word) is not None for word in words)
    if title and len(words) >= _LEAST and prose >= 0.6 * len(words):
        yield Passage(title, " ".join(words))


class _Paragraphs(HTMLParser):
    """found: (heading, paragraph) pairs."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []
        self._title, self._inside = "", ""
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _HEADINGS or tag == "p" or ("class", "para") in attrs:
            self._inside, self._text = tag, []

    def handle_endtag(self, tag: str) -> None:
        if tag != self._inside:
            return
        text = " ".join("".join(self._text).split())
        if tag not in _HEADINGS:
            self.found.append((self._title, text))
        else:
            self._title = re.sub(r"^(Chapter |Appendix )?([A-Z]?[\d.]+|[A-Z]\.)\s+", "", text)
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self._text.append(data)


def distinct(passages: Iterator[Passage]) -> Iterator[Passage]:
    """Each text once."""
    seen: set[str] = set()
    for one in passages:
        if one.text not in seen:
            seen.add(one.text)
            yield one


def passages_of(most: int, seed: int) -> list[Passage]:
    """So many passages of all sources that are here: the whole handbook, and of the others alike many."""
    drawn = random.Random(seed)
    held = []
    for name, found, needed in (
        ("the Debian handbook", handbook(HANDBOOK), "debian-handbook"),
        ("WordNet", glosses(WORDNET), "wordnet-base"),
        ("docstrings", docstrings(Path(sysconfig.get_paths()["purelib"])), ""),
    ):
        try:
            held.append(list(distinct(found)))
        except FileNotFoundError as error:
            raise InputError(f"{error.filename} is missing; install Debian's package {needed}") from None
        print(f"{len(held[-1]):,} passages of {name}", flush=True)
    chosen: list[Passage] = []
    for number, passages in enumerate(sorted(held, key=len)):
        part = (most - len(chosen)) // (len(held) - number)
        chosen += drawn.sample(passages, min(part, len(passages)))
    return chosen

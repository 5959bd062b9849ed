"""Passages from free texts on this machine: docstrings of installed packages, WordNet glosses, the Debian handbook.

Does not read Python's standard library, because its documentation is the pydoc collection. Packages contain copies of
parts of it; `overlapping` finds these, to keep them out of training.
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
"""Folder of the Debian package wordnet-base."""

HANDBOOK = Path("/usr/share/doc/debian-handbook/html/en-US")
"""Folder of the Debian package debian-handbook."""

_MIN_WORDS, _MAX_WORDS = 8, 90
_PARTS = ("noun", "verb", "adj", "adv")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_HEADINGS = {"h1", "h2", "h3", "h4", "h5"}
_TESTS = re.compile(r"(^|[/_])tests?([/_.]|$)")


@dataclass(frozen=True)
class Passage:
    """A text of 8 to 90 words.

    Attributes:
        title: Topic of the text, in words.
        text: The text.
    """

    title: str
    text: str


def docstrings(packages: Path) -> Iterator[Passage]:
    """Yield the docstrings of public classes and functions below a folder such as site-packages. Skips tests."""
    for path in sorted(packages.rglob("*.py")):
        if not _TESTS.search(str(path.relative_to(packages))):
            yield from _module_docstrings(path)


def glosses(folder: Path) -> Iterator[Passage]:
    """Yield a passage for each WordNet synset: its words, their gloss, and the gloss of the first hypernym."""
    for part in _PARTS:
        lines = [
            line
            for line in (folder / f"data.{part}").read_text(encoding="utf-8").splitlines()
            if not line.startswith("  ")
        ]
        by_offset = {line.split(" ", 1)[0]: line for line in lines}
        for line in lines:
            words, gloss = _synset(line)
            hypernym = re.search(r" @ (\d{8}) ", line.partition(" | ")[0] + " ")
            explanation = ""
            if hypernym and hypernym[1] in by_offset:
                names, meaning = _synset(by_offset[hypernym[1]])
                explanation = f" {names[0].capitalize()}: {meaning.split(';')[0]}."
            yield from _passages(words[0], f"{', '.join(words).capitalize()}: {gloss}.{explanation}")


def handbook(folder: Path) -> Iterator[Passage]:
    """Yield the paragraphs of HTML pages, each with the heading above it as title."""
    for path in sorted(folder.glob("*.html")):
        reader = _Paragraphs()
        reader.feed(path.read_text(encoding="utf-8"))
        for title, text in reader.paragraphs:
            yield from _passages(title, text)


def overlapping(texts: Sequence[str], others: Iterable[str], words: int = 8) -> set[int]:
    """Return the indices of texts that share an n-gram of words with any of `others`. Ignores case and punctuation.

    Args:
        texts: The texts to check.
        others: The texts to compare with.
        words: Number of words in an n-gram.
    """
    known = {ngram for other in others for ngram in _ngrams(other, words)}
    return {number for number, text in enumerate(texts) if not known.isdisjoint(_ngrams(text, words))}


def _ngrams(text: str, size: int) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text.lower())
    return {tuple(words[start : start + size]) for start in range(len(words) - size + 1)}


def _module_docstrings(path: Path) -> Iterator[Passage]:
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
    """Return the words and the gloss of a WordNet line: offset, file, type, count in hex, words, pointers | gloss."""
    head, _, gloss = line.partition(" | ")
    fields = head.split(" ")
    words = [fields[4 + 2 * number].partition("(")[0].replace("_", " ") for number in range(int(fields[3], 16))]
    return words, gloss.strip()


def _passages(title: str, text: str) -> Iterator[Passage]:
    """Split a text into passages of whole sentences. Drops those that are too short or mostly not prose."""
    collected: list[str] = []
    for sentence in sentences(text):
        words = sentence.split()
        if collected and len(collected) + len(words) > _MAX_WORDS:
            yield from _passages_with_words(title, collected)
            collected = []
        collected += words
    yield from _passages_with_words(title, collected)


def sentences(text: str) -> list[str]:
    """Split a text at the ends of sentences and at empty lines."""
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+(?=[A-Z\"'(])|\n\s*\n", text) if part.strip()]


def _passages_with_words(title: str, words: Sequence[str]) -> Iterator[Passage]:
    """Yield a passage if it has a title, enough words, and at least 60% plain words (no code or numbers)."""
    words = words[:_MAX_WORDS]
    prose = sum(re.fullmatch(r"[(\"'`]*[A-Za-z][a-z'-]*[.,;:!?)\"'`]*", word) is not None for word in words)
    if title and len(words) >= _MIN_WORDS and prose >= 0.6 * len(words):
        yield Passage(title, " ".join(words))


class _Paragraphs(HTMLParser):
    """An HTML parser that collects the paragraphs of a page.

    Attributes:
        paragraphs: (heading, paragraph) pairs.
    """

    def __init__(self) -> None:
        super().__init__()
        self.paragraphs: list[tuple[str, str]] = []
        self._title, self._inside = "", ""
        self._text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Start collecting text at a heading or a paragraph."""
        if tag in _HEADINGS or tag == "p" or ("class", "para") in attrs:
            self._inside, self._text = tag, []

    def handle_endtag(self, tag: str) -> None:
        """Store a completed paragraph, or keep a heading, without its number, as title of the next paragraphs."""
        if tag != self._inside:
            return
        text = " ".join("".join(self._text).split())
        if tag not in _HEADINGS:
            self.paragraphs.append((self._title, text))
        else:
            self._title = re.sub(r"^(Chapter |Appendix )?([A-Z]?[\d.]+|[A-Z]\.)\s+", "", text)
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Collect text inside a heading or a paragraph."""
        if self._inside:
            self._text.append(data)


def distinct(passages: Iterator[Passage]) -> Iterator[Passage]:
    """Drop passages with the same text as an earlier one."""
    seen: set[str] = set()
    for passage in passages:
        if passage.text not in seen:
            seen.add(passage.text)
            yield passage


def sample_passages(count: int, seed: int) -> list[Passage]:
    """Sample passages from all sources: equal shares, except that small sources are used completely.

    Args:
        count: Maximum number of passages.
        seed: Random seed.

    Raises:
        InputError: A source is not installed.
    """
    rng = random.Random(seed)
    sources = []
    for name, passages, package in (
        ("the Debian handbook", handbook(HANDBOOK), "debian-handbook"),
        ("WordNet", glosses(WORDNET), "wordnet-base"),
        ("docstrings", docstrings(Path(sysconfig.get_paths()["purelib"])), ""),
    ):
        try:
            sources.append(list(distinct(passages)))
        except FileNotFoundError as error:
            raise InputError(f"{error.filename} is missing; install the Debian package {package}") from None
        print(f"{len(sources[-1]):,} passages from {name}", flush=True)
    chosen: list[Passage] = []
    for number, source in enumerate(sorted(sources, key=len)):
        share = (count - len(chosen)) // (len(sources) - number)
        chosen += rng.sample(source, min(share, len(source)))
    return chosen

"""Languages of collections: how texts are split into words, stemmed, and freed of stop words.

The setting `collection.language` names the language. English texts are tokenized where they always were, with the
English stemmer and stop words of each place. For every other language, `analyzer_for` returns an `Analyzer`:

- Snowball languages: words of letters, combining marks and digits, stemmed by PyStemmer.
- `korean`, `japanese`, `chinese`: morphemes or words of a tokenizer that is an optional extra.
- `none`: words as they are, without stemming and stop words.
"""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
from typing import Annotated

from pydantic import AfterValidator

from ranking.errors import InputError
from ranking.languages.analyzer import Analyzer

ENGLISH = "english"
NONE = "none"

SNOWBALL = tuple(
    "arabic armenian basque catalan czech danish dutch esperanto estonian finnish french german greek hindi hungarian"
    " indonesian irish italian lithuanian nepali norwegian persian polish portuguese romanian russian serbian sesotho"
    " spanish swedish tamil turkish yiddish".split()
)
"""Languages other than English that PyStemmer has a Snowball stemmer for."""

PACKAGES = {"korean": "kiwipiepy", "japanese": "sudachipy", "chinese": "rjieba"}
"""Languages whose tokenizer is an optional extra of the language's name, with the package that is imported."""

LANGUAGES = (*sorted({ENGLISH, *SNOWBALL, *PACKAGES}), NONE)
"""All values of the setting `collection.language`."""


def _check_name(language: str) -> str:
    """Raise ValueError if a language is unknown."""
    if language in LANGUAGES:
        return language
    near = difflib.get_close_matches(language, LANGUAGES, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(LANGUAGES)}"
    raise ValueError(f"unknown language; {hint}")


Language = Annotated[str, AfterValidator(_check_name)]
"""Name of a language, one of `LANGUAGES`."""


def check_installed(language: str) -> None:
    """Raise InputError if the tokenizer of a language is not installed."""
    package = PACKAGES.get(language)
    if package is not None and importlib.util.find_spec(package) is None:
        raise InputError(
            f"setting 'collection.language': {language} needs the package {package}; install the extra '.[{language}]'"
        )


@functools.cache
def analyzer_for(language: str) -> Analyzer:
    """Return the analyzer of a language other than English. Every process creates it once.

    Raises:
        InputError: The language's tokenizer is not installed.
    """
    check_installed(language)
    if language in PACKAGES:
        module = importlib.import_module(f"ranking.languages.{language}_analyzer")
        analyzer: Analyzer = module.create()
        return analyzer
    from ranking.languages.word_analyzer import WordAnalyzer

    return WordAnalyzer(language)

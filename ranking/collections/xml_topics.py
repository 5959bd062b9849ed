"""Read XML topics: <topic> or <top> elements.

The id is the attribute `number`, `num` or `id`, or an element of that name. The query is the element <query> or
<title>, or the text of a topic without elements.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from ranking.collections.lines import read_bytes
from ranking.collections.trec_markup import topic_number, topic_title
from ranking.errors import InputError

_TOPIC_TAGS = ("topic", "top")
_ID_NAMES = ("number", "num", "id", "qid", "topic_id")
_QUERY_NAMES = ("query", "title")


@dataclass
class _Topic:
    """A topic while it is parsed: the line on which it begins, its attributes, and the text of each element."""

    line: int
    attributes: dict[str, str]
    elements: dict[str, str] = field(default_factory=dict)
    text: str = ""


class _TopicParser:
    """Collects the topics of an XML document."""

    def __init__(self) -> None:
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.topics: list[_Topic] = []
        self._path: list[str] = []
        """Names of the open elements within the current topic, the topic first. Empty outside of topics."""

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.casefold()
        if self._path:
            self._path.append(name)
            self.topics[-1].elements.setdefault(self._path[1], "")
        elif name in _TOPIC_TAGS:
            self._path.append(name)
            names = {key.casefold(): value for key, value in attributes.items()}
            self.topics.append(_Topic(self.parser.CurrentLineNumber, names))

    def _end(self, name: str) -> None:
        if self._path:
            self._path.pop()

    def _characters(self, text: str) -> None:
        if len(self._path) == 1:
            self.topics[-1].text += text
        elif self._path:
            self.topics[-1].elements[self._path[1]] += text


def read_xml_topics(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, id, query) for each topic of a plain or gzipped XML file.

    Raises:
        InputError: The file is not well-formed, or a topic has no id or no query. The message names file and line.
    """
    parser = _TopicParser()
    try:
        parser.parser.Parse(read_bytes(path), True)
    except expat.ExpatError as error:
        raise InputError(f"{path}, line {error.lineno}: not valid XML ({expat.ErrorString(error.code)})") from None
    for topic in parser.topics:
        where = f"{path}, line {topic.line}"
        number = topic_number(_first({**topic.elements, **topic.attributes}, _ID_NAMES))
        if not number:
            raise InputError(f"{where}: the topic has no id; add the attribute 'number' or the element <num>")
        query = topic_title(_first(topic.elements, _QUERY_NAMES) if topic.elements else _plain(topic.text))
        if not query:
            found = ", ".join(f"<{name}>" for name in topic.elements) or "none"
            raise InputError(f"{where}: the topic has no <query> or <title>; its elements: {found}")
        yield topic.line, number, query


def _first(fields: dict[str, str], names: tuple[str, ...]) -> str:
    """Return the first field that is not empty."""
    return next((text for name in names if (text := _plain(fields.get(name, "")))), "")


def _plain(text: str) -> str:
    return " ".join(text.split())

"""Read TREC documents and topics with tags: SGML as in the ad hoc tracks, or XML as in later tracks.

Documents are <DOC> elements with <DOCNO>. The title is the first field of `_TITLE_FIELDS`. The text is the content of
<TEXT> and of lead paragraphs. For a document without these fields, such as a web page, it is the content of all other
fields.

Topics are <top> elements with <num> and <title>, which need not be closed, or the XML elements described in
`ranking.collections.xml_topics`. Elements may span several lines or share one.
"""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from ranking.collections.lines import read_lines
from ranking.errors import InputError
from ranking.records import Document

_TITLE_FIELDS = ("title", "headline", "hl", "head", "ttl", "ti")
_TEXT_FIELDS = ("text", "lp", "leadpara")
_ID_FIELDS = ("docno", "docid", "dochdr", "docoldno")
_SHOWN_FIELDS = 8
_TAG = re.compile(r"</?[A-Za-z!][^<>]*>")
_INVISIBLE = re.compile(r"<!--.*?-->|<(script|style)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
_OPEN_TEXT = re.compile(r"<text(?:\s[^<>]*)?>", re.IGNORECASE)
_FIELD_NAME = re.compile(r"<([A-Za-z][\w.-]*)")
_TOPIC_FIELD = re.compile(r"<(num|title)>(.*?)(?=</?[A-Za-z][^<>]*>|\Z)", re.IGNORECASE | re.DOTALL)
_NUMBER = re.compile(r"^(?:number\s*:?)?\s*", re.IGNORECASE)
_TITLE = re.compile(r"^(?:topic\s*:)?\s*", re.IGNORECASE)


def read_tagged_documents(path: Path, notes: list[str]) -> Iterator[tuple[int, Document]]:
    """Yield (line number, document) for each <DOC> element of a file.

    Args:
        path: The file.
        notes: Receives remarks about documents without <TEXT> and about fields that are not read.

    Raises:
        InputError: An element is malformed, or a document has no <DOCNO>.
    """
    without_text, with_unread = 0, 0
    unread: Counter[str] = Counter()
    for line, content in _blocks(path, "doc"):
        block = _INVISIBLE.sub(" ", content)
        number = _field(block, "docno")
        if not number:
            raise InputError(f"{path}, line {line}: the document has no <DOCNO>")
        title = next((text for name in _TITLE_FIELDS if (text := _field(block, name))), "")
        texts, others = _fields(block, *_TEXT_FIELDS), _without(block, *_ID_FIELDS, *_TITLE_FIELDS, *_TEXT_FIELDS)
        if _OPEN_TEXT.search(others):
            raise InputError(f"{path}, line {line}: the <TEXT> of document {number!r} is not closed")
        if not texts:
            texts = [_plain(others)]
            without_text += 1
        elif _plain(others):
            with_unread += 1
            unread.update({name.upper() for name in _FIELD_NAME.findall(others)})
        yield line, Document(doc_id=number, title=title, text=" ".join(texts))
    if without_text:
        notes.append(f"{path.name}: {without_text:,} documents have no <TEXT>; the text of their other fields is used")
    if with_unread:
        names = ", ".join(name for name, _ in unread.most_common(_SHOWN_FIELDS))
        notes.append(f"{path.name}: {with_unread:,} documents have further fields, which are not read: {names}")


def read_tagged_topics(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield (line number, id, title) for each <top> element of a file."""
    for line, block in _blocks(path, "top"):
        # Older topic files do not close their fields, so a field ends at the next tag.
        fields = {name.lower(): text for name, text in _TOPIC_FIELD.findall(block)}
        number, title = topic_number(_plain(fields.get("num", ""))), topic_title(_plain(fields.get("title", "")))
        if not number or not title:
            raise InputError(f"{path}, line {line}: the topic has no {'<num>' if not number else '<title>'}")
        yield line, number, title


def topic_number(text: str) -> str:
    """Remove the prefix "Number:" of a topic's id."""
    return _NUMBER.sub("", text)


def topic_title(text: str) -> str:
    """Remove the prefix "Topic:" of a topic's title."""
    return _TITLE.sub("", text)


def _blocks(path: Path, tag: str) -> Iterator[tuple[int, str]]:
    """Yield (line number of the opening tag, content) for every <tag>...</tag> element in a file.

    Tags are in upper or lower case. Within an element, a tag counts at the start of a line, and a closing tag also at
    the end of a line or before another opening tag. Others are part of the text.
    """
    boundary = re.compile(rf"<(/?){tag}(?:\s[^<>]*)?>", re.IGNORECASE)
    lines: list[str] | None = None
    start = 0
    for line, text in read_lines(path):
        position = 0
        for match in boundary.finditer(text):
            before, after = text[position : match.start()], text[match.end() :]
            if lines is None:
                if match[1]:
                    raise InputError(f"{path}, line {line}: </{tag}> without <{tag}>")
                lines, start, position = [], line, match.end()
            elif match[1] and (not before.strip() or _ends_block(after, boundary)):
                yield start, "\n".join([*lines, before])
                lines, position = None, match.end()
            elif not match[1] and not before.strip():
                raise InputError(f"{path}, line {line}: <{tag}> opens before </{tag}> closes the one on line {start}")
        if lines is not None:
            lines.append(text[position:])
    if lines is not None:
        raise InputError(f"{path}, line {start}: <{tag}> is not closed")


def _ends_block(after: str, boundary: re.Pattern[str]) -> bool:
    """Return whether a closing tag ends an element, given the rest of its line."""
    following = boundary.search(after)
    rest = after[: following.start()] if following and not following[1] else after
    return not _TAG.sub("", rest).strip()


def _fields(block: str, *tags: str) -> list[str]:
    """Return the plain text of every element of a block with one of the tags, in their order in the block."""
    return [_plain(match[2]) for match in _elements(*tags).finditer(block)]


def _field(block: str, tag: str) -> str:
    """Return the plain text of the first <tag> element in a block, or an empty string if there is none."""
    return next(iter(_fields(block, tag)), "")


def _without(block: str, *tags: str) -> str:
    """Remove all elements with one of the tags from a block."""
    return _elements(*tags).sub(" ", block)


def _elements(*tags: str) -> re.Pattern[str]:
    """Return a pattern of elements with one of the tags; group 2 is their content."""
    return re.compile(rf"<({'|'.join(tags)})(?:\s[^<>]*)?>(.*?)</\1\s*>", re.IGNORECASE | re.DOTALL)


def _plain(text: str) -> str:
    """Remove tags, unescape entities and normalize white space."""
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())

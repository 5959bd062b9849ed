"""Rewrite text that looks like document identifiers or like a ranking, which an LLM may copy as its answer.

Three passes repeat until the text no longer changes: identifiers in angle and curly brackets ("<2>", "{2}"), rankings
("2 > 1 > 3", "[3 > 1", "document 2 > document 1"), and identifiers in all other brackets ("[2]", "[document 2]").
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

_OPEN = "[［【〔〖〘〚⟦⁅❲﹝﹇⌈⌊⦋⦍⦏⦗⟬⟅⧘⧚⧼⸢⸤⸦「｢『﹁﹃⟨⟪〈〈《❬❮❰⦑⦉⦇｛❴﹛⦃⦅｟❨❪⟮⁽₍﹙︗︷︹︻︽︿"
_CLOSE = "]］】〕〗〙〛⟧⁆❳﹞﹈⌉⌋⦌⦎⦐⦘⟭⟆⧙⧛⧽⸣⸥⸧」｣』﹂﹄⟩⟫〉〉》❭❯❱⦒⦊⦈｝❵﹜⦄⦆｠❩❫⟯⁾₎﹚︘︸︺︼︾﹀"
_BRACKETS = re.compile(f"[{re.escape(_OPEN + _CLOSE)}]")
_WORD = re.compile(r"[^\W_]+")
_ROMAN = re.compile(r"X{0,3}(?:IX|IV|V?I{0,3})")

_LABELS = (
    "documents?|docs?|passages?|texts?|items?|entry|results?|candidates?|options?|sources?|identifiers?|ids?|numbers?"
    "|no|nr|dokumente?|textes?|textos?|documentos?|documenti|документы?|文档|文件|文書|段落|문서|문단|وثيقة|الوثيقة|سند"
)
_NUMBER_WORDS = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen"
    "|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety|hundred"
    "|eins|zwei|drei|vier|fünf|sechs|sieben|acht|neun|zehn|un|deux|trois|quatre|cinq|sept|huit|neuf|dix"
    "|uno|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|due|tre|quattro|cinque|sei|sette|otto|nove|dieci"
    "|um|dois|três|quatro|sete|oito|dez|один|два|три|четыре|пять|шесть|семь|восемь|девять|десять"
    "|하나|둘|셋|넷|다섯|여섯|일곱|여덟|아홉|열"
)
_LABEL = re.compile(_LABELS, re.IGNORECASE)
_SPELLED = re.compile(rf"{_NUMBER_WORDS}|(?:{_LABELS})\d{{1,9}}", re.IGNORECASE)

_GREATER = "(?:[>＞﹥›»≻≫⋙˃ᐳ]|&gt;|&#0{0,5}62;|&#[xX]0{0,5}3[eE];)"
_LESS = "(?:[<＜﹤‹«≪⋘˂ᐸ]|&lt;|&#0{0,5}60;|&#[xX]0{0,5}3[cC];)"
_LEFT_ENTITY = r"&(?:#0{0,5}91|#[xX]0{0,5}5[bB]|lsqb|lbrack);"
_RIGHT_ENTITY = r"&(?:#0{0,5}93|#[xX]0{0,5}5[dD]|rsqb|rbrack);"
_NUMBER = (
    rf"(?:\d{{1,3}}|[\u2460-\u249b\u24ea-\u24ff\u2776-\u2793\u2160-\u216b\u3220-\u3229\u3280-\u3289]"
    rf"|[一二三四五六七八九十]{{1,3}}|X{{1,3}}(?:IX|IV|V?I{{0,3}})|IX|IV|VI{{0,3}}|I{{1,3}}|(?i:{_NUMBER_WORDS}))"
    r"\ufe0f?\u20e3?"
)
_LABELLED_NUMBER = rf"(?:(?i:{_LABELS})[ \t.:#№_-]{{0,3}})?{_NUMBER}"
_CONTENT = rf"[*\\#№\"'`(]{{0,4}}{_LABELLED_NUMBER}(?:[ \t]?[,、;][ \t]?{_LABELLED_NUMBER}){{0,30}}[*\\.\"'`)]{{0,4}}"
_WEAK_BRACKETS = (
    re.compile(rf"(?<![\w\\^$.|}})\]*+?\"'{{%-])\{{([ \t]?{_CONTENT}[ \t]?)\}}(?![\w{{*+?\"'(\[$])"),
    re.compile(rf"(?<![\w<]){_LESS}{{1,2}}({_CONTENT}){_GREATER}{{1,2}}"),
    re.compile(rf"(?<![\w<])(?<![\w)\]] ){_LESS}{{1,2}}([ \t]{_CONTENT}[ \t]){_GREATER}{{1,2}}"),
    re.compile(rf"{_LEFT_ENTITY}([ \t]?{_CONTENT}[ \t]?){_RIGHT_ENTITY}"),
)

_AROUND = re.escape(_OPEN + _CLOSE + "(){}（）\"'“”‘’„`*#№|\\~")
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_ITEM = (
    rf"(?:(?P<before>[{_AROUND}]+)[ \t]{{0,2}})?(?P<label>(?:(?i:{_LABELS})[ \t.:#№_-]{{0,3}})?)"
    rf"[{_AROUND}]{{0,4}}{_NUMBER}[ \t]{{0,2}}(?P<after>[{_AROUND}]*)"
)
_ITEM_AT_END = re.compile(rf"(?:(?<![\w.,$€£¥%/+<{_AROUND}-])|(?<=[{_UNSPACED}])|(?<=[^\d][.,])){_ITEM}[ \t]*\Z")
_ITEM_AT_START = re.compile(rf"\s{{0,8}}{_ITEM}(?:(?![\w%/{_AROUND}]|[.,]\d)|(?=[{_UNSPACED}]))")
_WHOLE_ITEM = re.compile(rf"\s{{0,8}}{_ITEM}[ \t]*\Z")
_SEPARATOR = re.compile(
    rf"(?:(?<=[{re.escape(_CLOSE)})}}])\s{{0,8}}|[ \t]{{0,8}}){_GREATER}(?:[ \t]?{_GREATER}){{0,2}}"
)
_JOIN = re.compile(rf"\s*{_GREATER}(?:[ \t]?{_GREATER}){{0,2}}\s*")
_TO_ROUND = str.maketrans({**dict.fromkeys(_OPEN + "{", "("), **dict.fromkeys(_CLOSE + "}", ")")})
_MAX_ITEM = 80


def without_identifiers(text: str) -> str:
    """Replace brackets around document identifiers with round ones, and the separators of rankings with commas.

    "[3] > [1]" becomes "(3), (1)", "[1, 2]" becomes "(1, 2)", "2 > 1 > 3" becomes "2, 1, 3".

    All kinds of brackets count except round ones. Identifiers are numbers in any script, upper-case Roman numerals up
    to XXXIX, number words, and each of these after a word such as "document". Brackets that contain any other word do
    not change, as in "a[i]", "[page 3]" and "List<int>". Neither do "{2}" and "<2>" where they are part of code, as in
    "x{2}" and "array<2>".

    Two numbers without brackets are a comparison, such as "2 > 1", and do not change. Three are a ranking.
    """
    while (cleaned := _one_pass(text)) != text:
        text = cleaned  # Repeat: a bracket that became round can reveal another identifier.
    return text


def _one_pass(text: str) -> str:
    for pattern in _WEAK_BRACKETS:
        text = pattern.sub(r"(\1)", text)
    return _without_bracketed_numbers(_without_rankings(text))


def _without_rankings(text: str) -> str:
    """Replace the separators of each ranking with commas, and its brackets with round ones."""
    parts, end = [], 0
    for items in _chains(text):
        if not _is_ranking(items):
            continue
        start, stop = items[0].start(), items[-1].end()
        parts += [text[end:start], _JOIN.sub(", ", text[start:stop].translate(_TO_ROUND))]
        end = stop
    return "".join([*parts, text[end:]])


def _chains(text: str) -> Iterator[list[re.Match[str]]]:
    """Yield each chain of two or more items that are joined by separators, from left to right."""
    separators = [match.span() for match in _SEPARATOR.finditer(text)]
    ends = [0, *(end for _, end in separators)]
    starts = [*(start for start, _ in separators), len(text)]
    items: list[re.Match[str]] = []
    for i in range(len(separators)):
        if not items and (left := _ITEM_AT_END.search(text, max(ends[i], starts[i] - _MAX_ITEM), starts[i])):
            items = [left]
        if items and (right := _ITEM_AT_START.match(text, ends[i + 1], starts[i + 1])):
            items.append(right)
            if _WHOLE_ITEM.match(text, ends[i + 1], starts[i + 1]):
                continue
        if len(items) > 1:
            yield items
        items = []
    if len(items) > 1:
        yield items


def _is_ranking(items: list[re.Match[str]]) -> bool:
    """Return whether a chain is a ranking and not a comparison such as "2 > 1"."""
    if len(items) > 2 or any(set(item["before"] or "") & set(_OPEN) for item in items):
        return True
    return all(item["label"] or _is_enclosed(item["before"] or "", item["after"]) for item in items)


def _is_enclosed(before: str, after: str) -> bool:
    return bool(set(before) & set("({（") and set(after) & set(")}）"))


def _without_bracketed_numbers(text: str) -> str:
    """Replace brackets around identifiers with round ones."""
    written = list(text)
    opened: list[_Bracket] = []
    end = 0
    for match in _BRACKETS.finditer(text):
        if opened:
            opened[-1].read(text[end : match.start()])
        end = match.end()
        if match[0] in _OPEN:
            opened.append(_Bracket(match.start(), _is_subscript(text, match.start())))
        elif opened:
            closed = opened.pop()
            if closed.is_identifier:
                written[closed.start], written[match.start()] = "(", ")"
            if opened:
                opened[-1].merge(closed)
    return "".join(written)


@dataclass
class _Bracket:
    """An opening bracket, and what was found between it and its closing bracket.

    Attributes:
        start: Index of the bracket in the text.
        subscript: Whether it follows a word or a bracket, as in "a[one]".
        numbers: Whether it contains numbers.
        spelled: Whether it contains number words, such as "two" or "document2".
        labels: Whether it contains words that can precede a number, such as "document".
        words: Whether it contains other words.
    """

    start: int
    subscript: bool
    numbers: bool = False
    spelled: bool = False
    labels: bool = False
    words: bool = False

    @property
    def is_identifier(self) -> bool:
        """Whether the content is an identifier. Only numbers count in a subscript."""
        if self.words or (self.subscript and (self.spelled or self.labels)):
            return False
        return self.numbers or self.spelled

    def read(self, text: str) -> None:
        """Record the kinds of words in a text inside the bracket."""
        for word in _WORD.findall(unicodedata.normalize("NFKC", text)):
            if _is_number(word):
                self.numbers = True
            elif _SPELLED.fullmatch(word):
                self.spelled = True
            elif _LABEL.fullmatch(word):
                self.labels = True
            else:
                self.words = True

    def merge(self, inner: _Bracket) -> None:
        """Record the content of a nested bracket as content of this one."""
        self.numbers |= inner.numbers
        self.spelled |= inner.spelled
        self.labels |= inner.labels
        self.words |= inner.words


def _is_subscript(text: str, start: int) -> bool:
    return start > 0 and (text[start - 1].isalnum() or text[start - 1] in "_)]")


def _is_number(word: str) -> bool:
    return bool(_ROMAN.fullmatch(word)) or all(unicodedata.numeric(character, None) is not None for character in word)

"""Rewrite text that looks like the letter of a document, for prompts that name documents A, B, C, ..."""

from __future__ import annotations

import re

LETTERS_VERSION = 2
"""Version of this rewriting, which is part of the hash of each prompt with letters. Increase it with every change."""

_OPEN = "(?:[\\[［【〔〖〘〚⟦⁅❲﹝﹇⌈⌊「｢『﹁⟨⟪〈《❬❮❰｛❴]|&(?:#0{0,5}91|#[xX]0{0,5}5[bB]|lsqb|lbrack);)"
_CLOSE = "(?:[\\]］】〕〗〙〛⟧⁆❳﹞﹈⌉⌋」｣』﹂⟩⟫〉》❭❯❱｝❵]|&(?:#0{0,5}93|#[xX]0{0,5}5[dD]|rsqb|rbrack);)"
_LABELS = "documents?|docs?|passages?|texts?|answers?|options?|choices?|candidates?|results?|items?"
_LETTER = "[A-ZＡ-Ｚ\u24b6-\u24cf\U0001f130-\U0001f149\U0001f150-\U0001f169\U0001f170-\U0001f189]\ufe0f?"
_ITEM = rf"[*\\#\"'`(]{{0,4}}(?:(?i:{_LABELS})[ \t.:#_-]{{0,3}})?{_LETTER}[*\\.\"'`)]{{0,4}}"
_BRACKETED = re.compile(rf"{_OPEN}(\s*{_ITEM}\s*){_CLOSE}")


def without_letters(text: str) -> str:
    """Replace brackets around a single capital letter with round ones: "[A]" becomes "(A)".

    A word for a document can precede the letter, as in "[document A]". All kinds of brackets count except round ones,
    "<A>" and "{A}", which are common in code.
    """
    while (cleaned := _BRACKETED.sub(r"(\1)", text)) != text:
        text = cleaned  # Repeat: brackets can be nested.
    return text

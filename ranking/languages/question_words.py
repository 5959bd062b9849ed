"""Question words of each language other than English, and whether a query is a question. This project's own lists."""

from __future__ import annotations

_FIRST = {
    "danish": "hvad hvordan hvorfor hvor hvornår hvem hvilken hvilket",
    "dutch": "wat hoe waarom waar wanneer wie welke hoeveel kan is",
    "french": "que quoi qui comment pourquoi où quand quel quelle quels quelles combien est-ce",
    "german": "was wie warum wieso weshalb wo woher wohin wann wer wen wem wessen welche welcher welches kann ist",
    "italian": "che cosa come perché dove quando chi quale quali quanto quanti",
    "norwegian": "hva hvordan hvorfor hvor når hvem hvilken",
    "polish": "co jak dlaczego gdzie kiedy kto który która które ile czy",
    "portuguese": "que como onde quando quem qual quais quanto quantos por",
    "russian": "что как почему зачем где куда когда кто какой какая какие сколько",
    "spanish": "qué cómo dónde cuándo quién cuál cuáles cuánto cuántos por",
    "swedish": "vad hur varför var när vem vilken vilket",
    "turkish": "ne nasıl neden niçin nerede kim hangi kaç",
}
"""Words that make a query a question if it begins with one of them."""

_ANYWHERE = {
    "chinese": "什么 怎么 怎样 为什么 为何 哪里 哪个 谁 多少 吗 如何",
    "japanese": "なぜ 何故 どう どこ いつ 誰 だれ 何 どの どれ どんな いくら ですか ますか",
    "korean": "어떻게 어떡하 왜 무엇 뭐 뭘 뭔가 어디 언제 누가 누구 어떤 얼마 무슨",
}
"""Strings that make a query a question wherever they are: in Korean at the start of a word."""

_KOREAN_ENDINGS = ("나요", "까요", "인가요", "는가요", "한가요", "습니까", "입니까", "합니까")


def asks(normal: str, language: str) -> bool:
    """Return whether a normalised query has question words of a language. False for languages without a list."""
    words = normal.split()
    if language == "korean":
        starts = tuple(_ANYWHERE[language].split())
        return any(word.startswith(starts) for word in words) or normal.endswith(_KOREAN_ENDINGS)
    if language in _ANYWHERE:
        return any(text in normal for text in _ANYWHERE[language].split())
    return bool(words) and words[0] in _FIRST.get(language, "").split()

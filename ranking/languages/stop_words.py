"""Stop words of each language.

The lists of bm25s (MIT) where it has one, except for Chinese, whose list there has many content words. For other
languages this project's own short lists of the most frequent function words, or none: BM25 gives words that are in most
documents little weight anyway. Korean and Japanese
particles are not in these lists; their analyzers drop them by part of speech.
"""

from __future__ import annotations

import functools

from ranking.languages.analyzer import fold

_BM25S = {
    name: f"STOPWORDS_{name.upper()}"
    for name in "danish dutch french german italian korean norwegian portuguese russian spanish swedish turkish".split()
}
"""Names of the lists in `bm25s.stopwords`."""

_OWN = {
    "chinese": "的 了 在 是 和 与 或 及 也 都 就 着 过 地 得 之 而 于 把 被 从 对 为 以 这 那 这个 那个 我 你 他 她"
    " 它 们 我们 你们 他们 什么 怎么 怎样 为什么 哪 哪个 哪里 谁 多少 几 吗 呢 吧 啊",
    "catalan": "a al als amb de del dels el els en és i la les o per que què s'ha un una uns unes es ha han no",
    "czech": "a aby ale ani co do i jak jako je jsem jsou k ke která které který na nebo o od po pro s se si tak to u"
    " v ve z za ze že",
    "finnish": "ei että he hän ja jo joka jos kun mikä mitä mukaan myös mutta ne niin oli olivat on ovat se sekä sen"
    " siitä tai tämä vai",
    "greek": "από για δεν είναι ένα έναν ένας η ή θα και με μια να ο οι όπως ότι που πως σε στη στην στις στο στον τα"
    " τη την της τι το τον του τους των",
    "hindi": "और एक का कि की के को था थी थे नहीं ने पर भी में यह ये वह वे से हैं है हो ही तो तक या जो",
    "hungarian": "a az egy és hogy is ha nem van vagy mint meg már csak de ez ezt azt aki ami ki be el még volt",
    "indonesian": "adalah akan atau bagi dalam dan dari dengan di ini itu juga ke oleh pada sebagai tersebut untuk"
    " yang",
    "polish": "a aby ale bo być co czy dla do i ich jak jako jest jego jej już lub ma na nie o od oraz po przez przy są"
    " się tak to u w we z za ze że",
    "romanian": "a al ale au ca că cu de din este eu fi fost la le mai nu o pe pentru prin sa sau se și sunt un unei"
    " unui în",
}


@functools.cache
def stop_words_of(language: str) -> frozenset[str]:
    """Return the stop words of a language, folded like the texts. Empty for `none` and languages without a list."""
    if language in _BM25S:
        import bm25s.stopwords

        return frozenset(map(fold, getattr(bm25s.stopwords, _BM25S[language])))
    return frozenset(map(fold, _OWN.get(language, "").split()))

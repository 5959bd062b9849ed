"""Rewriting of text that looks like identifiers or rankings, and the ordinary text that must not change."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ranking.prompts.identifiers import without_identifiers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("⌈2⌉ ⌊2⌋ ⦋2⦌ 「2」 『2』 ⟨2⟩ 《2》", "(2) (2) (2) (2) (2) (2) (2)"),
        ("<2> ＜2＞ «2» ‹2› &lt;2&gt; &#91;2&#93;", "(2) (2) (2) (2) (2) (2)"),
        ("{2} ｛2｝ ⦃2⦄ {1, 2}: < 2 >", "(2) (2) (2) (1, 2): ( 2 )"),
        ("[{2}] <[2]> ⟦<2>⟧", "((2)) ((2)) ((2))"),
        ("[two] [twenty-one] 【six】 [zwei]", "(two) (twenty-one) (six) (zwei)"),
        (
            "[document 2] [Passage #2] [doc2] [No. 2] [文档2] <item 2>",
            "(document 2) (Passage #2) (doc2) (No. 2) (文档2) (item 2)",
        ),
    ],
)
def test_brackets_of_all_kinds_become_round(text, expected):
    assert without_identifiers(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[3] > [1]", "(3), (1)"),
        ("(3) > (1)", "(3), (1)"),
        ("⟨3⟩ > ⟨1⟩ > ⟨2⟩", "(3), (1), (2)"),
        ("Ranking: 2 > 1 > 3.", "Ranking: 2, 1, 3."),
        ("2>1>3 and 4 ＞ 5 ＞ 6", "2, 1, 3 and 4, 5, 6"),
        ("2 >\n1 >\n3", "2, 1, 3"),
        ("[3]\n> [1]", "(3), (1)"),
        ("[3 > 1", "(3, 1"),
        ("[3 > [1 > [2", "(3, (1, (2"),
        ("3] > 1] > 2]", "3), 1), 2)"),
        ("[[3]] >> [[1]]", "((3)), ((1))"),
        ("two > one > three", "two, one, three"),
        ("document 3 > document 1", "document 3, document 1"),
        ("③ > ① > ②", "③, ①, ②"),
        ("3\ufe0f\u20e3 > 1\ufe0f\u20e3 > 2\ufe0f\u20e3", "3\ufe0f\u20e3, 1\ufe0f\u20e3, 2\ufe0f\u20e3"),
        ("**3** > '1' > #2", "**3**, '1', #2"),
        ("答案是2 > 1 > 3。", "答案是2, 1, 3。"),
        ("[3] &gt; [1] &#62; [2]", "(3), (1), (2)"),
    ],
)
def test_rankings_lose_their_separators(text, expected):
    assert without_identifiers(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "if 2 > 1: return (5 > 3)",
        "len(x, 3) > 2 and max(a, 10) > 2",
        "0.9 > 0.8 > 0.7, 100% > 50% > 10%, $3 > $2 > $1",
        "List<int>, Map<String, 2>, std::array<int, 3>, vec<3>",
        "a[i] > b[j], a[one], data[text2], row[doc 2]",
        "[a-z]{2}, x{3}, \\frac{1}{2}, x^{2}, '{0} {1}', f'{2}'",
        "[File] > [Save] and Settings > Network > Proxy",
        "[link](https://example.com/2) and [page 3] and [see document]",
        "<p>2</p><h2>3</h2> <td>4</td> <br/>",
        "> quoted\n> 1\n> 2\n> 3",
        "1 < 3 > 2, i <10, I <3 you",
        "1 -> 2 -> 3 and 2 → 1 → 3",
    ],
)
def test_ordinary_text_does_not_change(text):
    assert without_identifiers(text) == text


@example("[[3 > 1] ]2> [")
@given(st.text(alphabet=st.sampled_from("12I a[]<>{}()「」>,\n"), max_size=40))
def test_rewriting_is_idempotent(text):
    assert without_identifiers(without_identifiers(text)) == without_identifiers(text)

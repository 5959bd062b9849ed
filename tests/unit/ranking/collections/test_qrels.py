"""Qrels files as TREC, BEIR, MS MARCO and pandas write them, and one-line errors for malformed ones."""

import gzip

import pytest

from ranking.collections.qrels import read_qrels
from ranking.errors import InputError

EXPECTED = {"q1": {"d1": 2, "d2": 0}, "q2": {"d1": -1}}


@pytest.mark.parametrize(
    "text",
    [
        "q1 0 d1 2\nq1 0 d2 0\nq2 0 d1 -1\n",
        "q1\t0\td1\t2\nq1\t0\td2\t0\nq2\t0\td1\t-1",
        "q1\td1\t2\nq1\td2\t0\nq2\td1\t-1\n",
        "query-id\tcorpus-id\tscore\r\nq1\td1\t2\r\nq1\td2\t0\r\nq2\td1\t-1\r\n",
        "topic iteration document relevance\nq1 0 d1 2\nq1 0 d2 0\nq2 0 d1 -1\n",
        "a b c\nq1 d1 2\nq1 d2 0\nq2 d1 -1\n",
        "q1\td1\t2.0\nq1\td2\t0.0\nq2\td1\t-1.0\n",
        "\tquery-id\tcorpus-id\tscore\n0\tq1\td1\t2\n1\tq1\td2\t0\n2\tq2\td1\t-1\n",
        "corpus-id\tscore\tquery-id\nd1\t2\tq1\nd2\t0\tq1\nd1\t-1\tq2\n",
        "\ufeff\nq1 d1 2\nq1 d2 0\nq2 d1 -1\n",
    ],
)
def test_layouts_give_the_same_judgements(tmp_path, text):
    (tmp_path / "x.tsv").write_bytes(text.encode())
    (tmp_path / "x.tsv.gz").write_bytes(gzip.compress(text.encode()))
    assert read_qrels(tmp_path / "x.tsv") == read_qrels(tmp_path / "x.tsv.gz") == EXPECTED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("q1 d1 1\nq1 d2 0.5\n", "line 2: the grade must be an integer of at most 9 digits, not '0.5'"),
        ("q1 d1 0.5\nq1 d2 1\n", "line 1: the grade must be an integer of at most 9 digits, not '0.5'"),
        ("q1 d1 nan\n", "line 1: the grade must be an integer of at most 9 digits, not 'nan'"),
        ("q1 d1 high\nq2 d2 1\n", "line 1: the grade must be an integer of at most 9 digits, not 'high'"),
        ("a x high\na y 1\n", "line 1: the grade must be an integer of at most 9 digits, not 'high'"),
        ("a x high\nb x 1\n", "line 1: the grade must be an integer of at most 9 digits, not 'high'"),
        ("q1\td1\t\nq2\td2\t1\n", "line 1: the grade must be an integer of at most 9 digits, not ''"),
        ("q1 d1\n", "line 1: expected 3 columns (query, document, grade) or the 4 of TREC, not 2"),
        ("query-id corpus-id score\nq1 0 d1 1\n", "line 2: expected 3 columns as in the header, not 4"),
        ("corpus-id x y\nd1 q1 1\n", "line 1: cannot tell the columns from the header 'corpus-id x y'"),
        ("query-id corpus-id score\n", "x.tsv: there are no judgements"),
    ],
)
def test_malformed_judgement_is_an_error_with_its_line(tmp_path, text, expected):
    (tmp_path / "x.tsv").write_text(text)
    with pytest.raises(InputError) as error:
        read_qrels(tmp_path / "x.tsv")
    assert expected in str(error.value)

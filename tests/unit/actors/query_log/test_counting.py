"""Counting a log in partitions gives the same result as counting it at once."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.data.rows import records
from actors.query_log import counting
from actors.query_log.counting import CountedRow, count_partition, form_rows, partitions_of
from ranking.selection.near_duplicates import QueryForm, count_distinct, merge_near_duplicates

TEXTS = st.lists(st.sampled_from(["sort", "sorts", "List", "a", "dict", "리스트", "정렬", "?"]), max_size=4).map(
    " ".join
)
FORMS = st.lists(st.builds(QueryForm, TEXTS, st.integers(1, 9), st.none()), min_size=1, max_size=30)


def counted(tables):
    rows = pa.concat_tables(tables)
    partitions = sorted(set(rows["partition"].to_pylist()))
    groups = [rows.filter(pa.compute.equal(rows["partition"], partition)) for partition in partitions]
    return [row for group in groups for row in records(count_partition(group), CountedRow)]


@given(FORMS, st.integers(1, 7), st.integers(1, 4))
def test_partitions_and_blocks_do_not_change_the_result(forms, partitions, blocks):
    tables = [table for block in range(blocks) for table in form_rows(forms[block::blocks], partitions)]
    queries = sorted((row.query for row in counted(tables)), key=lambda query: query.query_id)
    assert queries == merge_near_duplicates(count_distinct(forms))


def test_reader_flushes_counts_at_the_buffer_limit(monkeypatch):
    monkeypatch.setattr(counting, "_MAX_BUFFERED_FORMS", 2)
    tables = list(form_rows([QueryForm(text, 1) for text in ("a", "a", "b", "c", "a", "d", "e")], 1))
    assert [table["text"].to_pylist() for table in tables] == [["a", "b"], ["c", "a"], ["d", "e"], []]
    assert {row.query.text: row.query.frequency for row in counted(tables)} == {"a": 3, "b": 1, "c": 1, "d": 1, "e": 1}


@pytest.mark.parametrize("partitions", [1, 5])
def test_id_of_two_queries_is_a_problem(partitions):
    same = [QueryForm("Sort list", 1, "x"), QueryForm("sort list?", 2, "x"), QueryForm("other", 1, "y")]
    assert [row.problem for row in counted(list(form_rows(same, partitions)))] == [None, None]
    clash = [*same, QueryForm("third", 1, "y")]
    problems = [row.problem for row in counted(list(form_rows(clash, partitions))) if row.problem]
    assert problems == ["queries.log: id 'y' is used for 2 different queries, such as 'other' and 'third'"]


def test_number_of_partitions_grows_with_the_log():
    assert [partitions_of(size) for size in (0, 2**20, 2**26, 2**40)] == [1, 1, 9, 1024]

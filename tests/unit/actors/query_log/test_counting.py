"""Counting a log in partitions gives the same result as counting it at once."""

from collections import Counter
from dataclasses import asdict

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.data.rows import records
from actors.query_log import counting
from actors.query_log.counting import (
    CountedRow,
    SplitReader,
    count_partition,
    form_rows,
    partitions_of,
    skipped_rows,
)
from actors.query_log.long_tail_selection import _sums
from ranking.collections.log_files import find_log, splits_of
from ranking.collections.log_rows import layouts_of
from ranking.selection.near_duplicates import QueryForm, count_distinct, merge_near_duplicates
from ranking.selection.selection_settings import QuerySettings

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


def test_near_duplicates_are_merged_in_the_language_of_the_log():
    forms = [QueryForm(text, 1) for text in ("Haus kaufen", "Häuser kaufen", "Häusern kaufen")]
    for language, expected in (("english", 3), ("german", 1)):
        (table,) = form_rows(forms, 64, language)
        rows = [row for partition in set(table["partition"].to_pylist()) for row in groups(table, partition, language)]
        assert len(rows) == expected


def groups(table, partition, language):
    return records(count_partition(table.filter(pa.compute.equal(table["partition"], partition)), language), CountedRow)


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


def test_skipped_rows_are_added_up_over_splits(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_text('{"query": "hat"}\n{"click": 1}\n{"query": ""}\n')
    files, settings = find_log(str(tmp_path)), QuerySettings()
    splits = pa.Table.from_pylist([asdict(split) for split in splits_of(files, layouts_of(files, settings))])
    tables = list(SplitReader(settings, 1)(splits))
    rows = counted(tables)
    assert [(row.query.text, row.query.frequency) for row in rows if row.query] == [("hat", 2)]
    assert [(row.skipped, row.rows) for row in rows if row.skipped] == [("without a query", 4)]
    assert _sums(count_partition(pa.concat_tables(tables)))["skipped"].to_pylist() == [
        [{"kind": "without a query", "rows": 4}]
    ]


def test_partition_with_only_skipped_rows_has_no_queries():
    rows = counted([skipped_rows(Counter({"without a query": 2, "with totals": 1}))])
    assert [(row.query, row.skipped, row.rows) for row in rows] == [
        (None, "without a query", 2),
        (None, "with totals", 1),
    ]

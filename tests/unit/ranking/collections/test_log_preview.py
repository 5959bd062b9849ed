"""Preview of a query log: files with the same layout are described together, and their first rows are read."""

from ranking.collections.log_files import find_log
from ranking.collections.log_preview import describe, notes_on, preview_log
from ranking.collections.log_rows import layouts_of
from ranking.selection.selection_settings import LogColumns, QuerySettings


def previews(folder, max_rows=100, shown_rows=2, **settings):
    queries = QuerySettings(log=str(folder), **settings)
    files = find_log(str(folder))
    return preview_log(files, layouts_of(files, queries), queries, max_rows, shown_rows), queries


def test_files_are_grouped_by_layout_and_counted(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.tsv").write_text("query\tcount\na\t2\nb\t1\n\t9\n")
    (tmp_path / "x.csv").write_text("# r\n\nSearch term,Event count\nhat,4\n")
    (tsv, csv), settings = previews(tmp_path)
    assert (tsv.read, tsv.searches, dict(tsv.skipped), tsv.complete) == (6, 9, {"without a query": 3}, True)
    assert [form.text for form in tsv.rows] == ["a", "b"]
    assert describe(tsv.layout, tsv.files, settings) == (
        "3 files: format table (detected), tab-separated, with a header; query: query, frequency: count, "
        "id: a hash of the query"
    )
    assert describe(csv.layout, csv.files, settings) == (
        "x.csv: format ga4 (detected), comma-separated, with a header, comment lines skipped; query: Search term, "
        "frequency: Event count, id: a hash of the query"
    )


def test_only_the_first_rows_are_read(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"q": "x"}\n' * 5 + "not json\n")
    (preview,), _ = previews(tmp_path, max_rows=4, columns=LogColumns(text="q"))
    assert (preview.read, preview.complete) == (4, False)


def test_files_behind_many_skipped_rows_are_not_read(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.jsonl").write_text('{"query": "x"}\n' + '{"click": 1}\n' * 5)
    (preview,), _ = previews(tmp_path, max_rows=5)
    assert (preview.read, preview.skipped.total(), preview.complete) == (1, 5, False)


def test_slow_log_has_a_note_about_its_frequencies(tmp_path):
    (tmp_path / "a.json").write_text('{"source": "{}", "took_millis": 3}\n')
    (preview,), _ = previews(tmp_path)
    assert notes_on([preview.layout]) == [
        "a slow log has an entry for each shard and none for fast searches; frequencies are not exact"
    ]

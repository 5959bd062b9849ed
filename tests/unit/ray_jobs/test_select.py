"""The selection job: what it prints about a query log, and its errors for a log without queries."""

import sys

import pytest

from actors.query_log.long_tail_selection import Count, Sums
from ranking.errors import InputError
from ray_jobs import index, select
from ray_jobs.common.run import job, open_run


@pytest.fixture
def preview(dataset, tmp_path, capsys):
    """Return a function that previews a log and returns the exit code and the output."""

    def call(content, *more, name="log.csv"):
        (tmp_path / name).write_text(content, encoding="utf-8")
        arguments = [str(dataset / "run.yaml"), "--storage", str(tmp_path / "runs"), "--preview"]
        arguments += ["--queries.log", str(tmp_path / name), *more]
        options = {"add_options": select.add_options, "action_of": lambda options: select.show_preview}
        code = 0
        try:
            job(select.main, select.READS, arguments, **options)
        except SystemExit as error:
            code = error.code
        return code, capsys.readouterr()

    return call


def test_preview_prints_columns_rows_and_counts(preview):
    code, printed = preview('# report\n\nSearch term,Event count\nred shoes,"1,200"\nhat,3\n(not set),9\n')
    assert code == 0, printed.err
    words = " ".join(printed.out.split())
    assert "log.csv: format ga4 (detected), comma-separated, with a header, comment lines skipped;" in words
    assert "; query: Search term, frequency: Event count, id: a hash of the query" in words
    assert "red shoes 1,200 hat 3 2 rows with a query, 1,203 searches; skipped: 1 row without a query" in words


def test_preview_shows_ids_and_escapes_control_characters(preview):
    code, printed = preview('{"query": "a[red]", "_id": "7"}\n{"query": "b\\u001b[2J", "_id": "8"}\n', name="log.jsonl")
    assert code == 0, printed.err
    assert "\x1b" not in printed.out
    assert "a[red] 1 7 b [2J 1 8 2 rows" in " ".join(printed.out.split())
    code, printed = preview("\x1b[2Jterm,number\nhat,2\n")
    assert (code, "\x1b" in printed.out, "query: \\x1b[2Jterm" in printed.out) == (0, False, True)


def test_preview_does_not_start_ray_or_select(preview, tmp_path):
    assert preview("query\nhat\n")[0] == 0
    assert not (tmp_path / "runs" / "x" / "queries").exists()
    assert "ray" not in sys.modules or not sys.modules["ray"].is_initialized()


def test_malformed_row_of_a_preview_is_a_one_line_error(preview, tmp_path):
    code, printed = preview("query,count\nhat,2\nhat,2,3\n")
    assert code == 2
    assert printed.err == f"error: {tmp_path}/log.csv, line 3: expected 2 columns as in the first line, not 3\n"


@pytest.mark.parametrize("main", [select.main, index.main])
def test_missing_tokenizer_of_a_language_is_a_one_line_error(main, dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sudachipy", None)
    arguments = [str(dataset / "run.yaml"), "--storage", str(tmp_path), "--collection.source", f"beir:{dataset}"]
    with pytest.raises(SystemExit) as caught:
        job(main, select.READS, [*arguments, "--collection.language", "japanese"])
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "error: setting 'collection.language': japanese needs the package sudachipy; install the extra '.[japanese]'\n"
    )


def test_preview_needs_a_log(dataset, tmp_path):
    run = open_run([str(dataset / "run.yaml"), "--storage", str(tmp_path)])
    with pytest.raises(InputError, match=r"preview: set queries\.log"):
        select.show_preview(run)


def test_log_without_queries_names_what_was_skipped(dataset, tmp_path, monkeypatch):
    run = open_run([str(dataset / "run.yaml"), "--storage", str(tmp_path), "--queries.log", "log.jsonl"])
    skipped = [Count(kind="without a query", rows=12)]
    sums = Sums(searches=0, queries=0, problem=None, skipped=skipped)
    monkeypatch.setattr("actors.query_log.long_tail_selection.sums_of", lambda counted: sums)
    with pytest.raises(InputError, match=r"log\.jsonl: no row has a query; skipped: 12 rows without a query; set"):
        select.check_sums(run, None)


def test_skipped_rows_are_printed(dataset, tmp_path, monkeypatch, capsys):
    run = open_run([str(dataset / "run.yaml"), "--storage", str(tmp_path), "--queries.log", "log.jsonl"])
    skipped = [Count(kind="without a query", rows=1), Count(kind="of other events", rows=1200)]
    sums = Sums(searches=5, queries=2, problem=None, skipped=skipped)
    monkeypatch.setattr("actors.query_log.long_tail_selection.sums_of", lambda counted: sums)
    assert select.check_sums(run, None) == sums
    assert "skipped: 1,200 rows of other events, 1 row without a query" in capsys.readouterr().out

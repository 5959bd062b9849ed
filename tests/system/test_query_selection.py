"""Long-tail selection on Ray over raw query logs, in several file formats and partitions."""

import random
import sys
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ranking.records import Rejection, SelectedQuery
from ranking.runs.stages import Manifest
from ranking.storage.folder import Folder
from tests.testing.programs import run_program

pytestmark = pytest.mark.timeout(600)
SEARCHES = {
    "glacier valleys": 9,
    "Which METAL goes into cables?": 1,
    "how do bats find insects at night": 2,
    "How do bats find an insect at night?": 1,
    "밤에 박쥐가 곤충을 찾는 방법": 1,
    "밤에 박쥐가 곤충을 찾는 방법?": 2,
    "why does salt melt ice on roads": 4,
    "why is bamboo so fast, and how tall does it get": 1,
    "what is the pull of the moon on the sea": 2,
    "?": 3,
}


@pytest.fixture(scope="module")
def rows():
    """Return the text of every search, in random order."""
    texts = [text for text, times in SEARCHES.items() for _ in range(times)]
    random.Random(3).shuffle(texts)
    return texts


@pytest.fixture(scope="module")
def select(cluster, collection, tmp_path_factory):
    """Return a function that runs the job over a log and returns the run's folder and the completed process."""
    storage = tmp_path_factory.mktemp("selections")

    def run(name, log, *more):
        source = [
            "--collection.source",
            f"beir:{collection}",
            "--storage",
            str(storage),
            "--run",
            name,
            "--queries.log",
            str(log),
        ]
        limits = ["--queries.long_tail", '{"max_frequency": 3, "min_terms": 4}']
        command = [sys.executable, "-m", "ray_jobs.select", "configs/collection.yaml", *source, *limits, *more]
        return Folder(storage / name), run_program(command, cluster, 200)

    return run


@pytest.fixture(scope="module")
def selected(select, rows, tmp_path_factory):
    """Select queries from five .tsv files with one search per row."""
    folder = tmp_path_factory.mktemp("log")
    for part in range(5):
        (folder / f"{part}.tsv").write_text("".join(f"{text}\n" for text in rows[part::5]), encoding="utf-8")
    return select("files", folder)


def test_searches_are_counted_deduplicated_and_accounted_for(selected):
    run, done = selected
    assert done.returncode == 0, done.stderr
    queries = {query.text: query for query in (run / "queries").read_rows(SelectedQuery)}
    assert {text: (query.frequency, query.duplicates) for text, query in queries.items()} == {
        "how do bats find insects at night": (3, ["How do bats find an insect at night?"]),
        "밤에 박쥐가 곤충을 찾는 방법?": (3, []),
        "why is bamboo so fast, and how tall does it get": (1, []),
        "what is the pull of the moon on the sea": (2, []),
    }
    assert all(0 < query.score < 1 for query in queries.values())
    rejected = {row.raw: row.reason for row in (run / "rejected").read_rows(Rejection)}
    assert rejected == {
        "?": "the query has no words",
        "glacier valleys": "frequency 9 is above 3",
        "why does salt melt ice on roads": "frequency 4 is above 3",
        "How do bats find an insect at night?": f"duplicate of {queries['how do bats find insects at night'].query_id}",
        "Which METAL goes into cables?": "near-duplicate of a test question",
    }
    manifest = Manifest.model_validate_json((run / "queries").read_text("_manifest.json"))
    assert (manifest.rows_in, manifest.rows_out, manifest.rejected) == (9, 4, 5)
    assert "4 long-tail queries of 9 in the log; excluded: " in done.stdout


def test_another_partition_of_the_log_gives_the_same_rows(select, selected, rows, tmp_path):
    pq.write_table(pa.table({"query": sorted(rows, reverse=True)}), tmp_path / "log.parquet", row_group_size=3)
    run, done = select("parquet", tmp_path / "*.parquet")
    assert done.returncode == 0, done.stderr
    for name in ("queries", "rejected"):
        expected = selected[0] / name
        assert [(part, (run / name).read_table(part)) for part in (run / name).names(".parquet")] == [
            (part, expected.read_table(part)) for part in expected.names(".parquet")
        ]


def test_sample_is_a_subset_of_the_selection(select, selected, rows, tmp_path):
    (tmp_path / "log.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in rows), encoding="utf-8")
    run, done = select("sample", tmp_path / "log.csv", "--queries.sample", "2")
    assert done.returncode == 0, done.stderr
    sampled = list((run / "queries").read_rows(SelectedQuery))
    assert len(sampled) == 2
    assert all(query in list((selected[0] / "queries").read_rows(SelectedQuery)) for query in sampled)
    assert sum(row.reason == "not sampled" for row in (run / "rejected").read_rows(Rejection)) == 2


WRONG = {
    "a b c d\t1\ne f\n": "line 2: expected 2 columns (query, frequency) as in the first line, not 1",
    "_id\ttext\n1\ta b c d\n1\te f g h\n": (
        "queries.log: id '1' is used for 2 different queries, such as 'a b c d' and 'e f g h'"
    ),
    "a b c d\t7\n": "none of the 1 queries of the log is long-tail (1 too frequent); relax queries.long_tail",
    "\n": "the query log is empty",
}


@pytest.fixture(scope="module")
def refused(select, tmp_path_factory):
    """Run the job over invalid logs and return the completed processes by log content.

    The jobs run in parallel, because they mostly wait for Ray.
    """
    folder = tmp_path_factory.mktemp("wrong")

    def run_on(item):
        number, content = item
        (folder / f"{number}.tsv").write_text(content)
        return select(f"bad-{number}", folder / f"{number}.tsv")[1]

    with ThreadPoolExecutor(len(WRONG)) as pool:
        return dict(zip(WRONG, pool.map(run_on, enumerate(WRONG)), strict=True))


@pytest.mark.parametrize(("content", "expected"), WRONG.items())
def test_invalid_log_is_a_one_line_error(refused, content, expected):
    done = refused[content]
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1

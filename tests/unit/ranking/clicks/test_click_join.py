"""Rankings are joined with their clicks, and counted by query, whatever the number of partitions."""

import random

import pytest

from ranking.ab_test.exposure_records import EXPOSURES, FEEDBACK
from ranking.clicks.click_join import QueryTally, counts_of_tallies, join
from ranking.clicks.click_sources import Click, ShownRanking, recorded_clicks, recorded_rankings
from ranking.clicks.spilled_rows import SpilledRows, bucket_count
from ranking.errors import InputError
from ranking.storage.folder import Folder
from tests.testing.recorded_traffic import click, exposure


def tallies_of(joined):
    return {query: tally for part in joined.tallies() for query, tally in part.items()}


def test_clicks_are_joined_and_counted_once(tmp_path):
    rankings = [
        ShownRanking("x1", "Heap?", ["a", "b", "c"]),
        ShownRanking("x1", "Heap?", ["a", "b", "c"]),  # written twice after a crash
        ShownRanking("x2", "heap", ["b", "a"]),
        ShownRanking("x3", "other", ["a"]),
    ]
    clicks = [Click("x1", 2), Click("x1", 2), Click("x2", 0, "a"), Click("x2", 0, "z"), Click("x3", 2), Click("x9", 1)]
    joined = join(rankings, clicks, 2, tmp_path, 3)
    assert (joined.exposures, joined.clicks, joined.repeated, joined.unmatched) == (3, 2, 1, 3)
    assert tallies_of(joined) == {
        "heap": QueryTally(2, {("a", 0): [1, 0], ("b", 1): [1, 1], ("b", 0): [1, 0], ("a", 1): [1, 1]}),
        "other": QueryTally(1, {("a", 0): [1, 0]}),
    }


def test_partitions_do_not_change_the_counts(tmp_path, monkeypatch):
    monkeypatch.setattr("ranking.clicks.spilled_rows._BUFFERED_ROWS", 7)  # several batches per partition
    draw = random.Random(1)
    rankings = [ShownRanking(f"x{n}", f"q{draw.randrange(9)}", draw.sample("abcdef", 4)) for n in range(200)]
    clicks = [Click(f"x{draw.randrange(200)}", draw.randrange(1, 5)) for _ in range(150)]
    found = []
    for buckets in (1, 16):
        (tmp_path / str(buckets)).mkdir()
        joined = join(rankings, clicks, 4, tmp_path / str(buckets), buckets)
        found.append((tallies_of(joined), joined.exposures, joined.clicks, joined.unmatched))
    assert found[0] == found[1]
    assert found[0][1:] == (200, len(set(clicks)), 0)


def test_number_of_partitions_is_limited():
    assert [bucket_count(rows) for rows in (0, 49_999, 50_000, 10**9)] == [1, 1, 2, 256]


def test_rows_of_a_key_are_in_one_partition(tmp_path):
    import pyarrow as pa

    rows = SpilledRows(tmp_path, pa.schema([("key", pa.string()), ("n", pa.int64())]), 5)
    for n in range(60):
        rows.add(f"k{n % 12}", (f"k{n % 12}", n))
    rows.close()
    partitions = [list(rows.rows(bucket)) for bucket in range(5)]
    keys = [{key for key, _ in part} for part in partitions]
    assert sum(map(len, keys)) == 12
    assert sum(map(len, partitions)) == 60


def test_counts_number_the_pairs_of_all_queries():
    tallies = {"q": QueryTally(3, {("a", 0): [2, 1], ("a", 1): [1, 0]}), "r": QueryTally(1, {("a", 0): [1, 1]})}
    counts, pairs = counts_of_tallies(tallies)
    assert pairs == [("q", "a"), ("r", "a")]
    assert counts.pairs.tolist() == [0, 0, 1]
    assert counts.clicks.tolist() == [1, 0, 1]


def test_only_clicks_of_the_chosen_experiments_are_read(tmp_path):
    place = Folder(tmp_path)
    shown = [exposure(1, "q", ["a"]), exposure(2, "q", ["b"], experiment="spring", version="another")]
    (place / EXPOSURES).write_rows("part-1.parquet", shown)
    (place / FEEDBACK).write_rows("part-1.parquet", [click(1, 1), click(1, 1, "dwell"), click(2, 3)])
    assert list(recorded_rankings(place / EXPOSURES)) == [("x1", "q", ["a"]), ("x2", "q", ["b"])]
    assert list(recorded_rankings(place / EXPOSURES, ["spring"])) == [("x2", "q", ["b"])]
    assert list(recorded_clicks(place / FEEDBACK)) == [("x1", 1, None), ("x2", 3, None)]


def test_file_without_a_column_is_named(tmp_path):
    Folder(tmp_path).write_rows("part-1.parquet", [click(1, 1)])
    with pytest.raises(InputError, match=r"part-1\.parquet: there is no column 'experiment'"):
        list(recorded_rankings(Folder(tmp_path)))

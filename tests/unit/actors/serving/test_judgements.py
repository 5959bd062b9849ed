"""Judgements are a qrels file that our own reader accepts, with the history of all grades."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from actors.serving.judgements import HISTORY, QRELS, Judgement, JudgementFiles, UnwritableIdError, text_query_id
from ranking.collections.qrels import read_qrels
from ranking.errors import InputError
from ranking.storage.folder import Folder


def judgement(query_id, doc_id, grade, at=1.0):
    return Judgement(at=at, query_id=query_id, doc_id=doc_id, grade=grade, caller="web")


def qrels_in(folder):
    return read_qrels(Path(folder) / QRELS)


def history_in(folder):
    lines = Folder(folder).read_text(HISTORY).splitlines()
    return [Judgement.model_validate_json(line) for line in lines]


def test_the_last_grade_counts_and_the_history_keeps_all(tmp_path):
    files = JudgementFiles(Folder(tmp_path))
    replaced = [
        files.save(judgement(*row)) for row in [("q1", "d1", 2), ("q1", "d2", 0), ("q2", "d1", 1), ("q1", "d1", 3)]
    ]
    assert replaced == [None, None, None, 2]
    assert qrels_in(tmp_path) == {"q1": {"d1": 3, "d2": 0}, "q2": {"d1": 1}}
    assert [(row.query_id, row.doc_id, row.grade) for row in history_in(tmp_path)] == [
        ("q1", "d1", 2),
        ("q1", "d2", 0),
        ("q2", "d1", 1),
        ("q1", "d1", 3),
    ]
    assert files.grades_of("q1") == {"d1": 3, "d2": 0}
    assert files.grades_of("q") == {}


def test_ids_with_spaces_and_any_script_survive_the_qrels_file(tmp_path):
    files = JudgementFiles(Folder(tmp_path))
    for doc_id in ("two words", " padded ", "é\u2028中", "#", "grade"):
        files.save(judgement("a query", doc_id, 1))
    assert set(qrels_in(tmp_path)["a query"]) == {"two words", " padded ", "é\u2028中", "#", "grade"}


@pytest.mark.parametrize("doc_id", ["a\tb", "a\nb", "a\rb", "a\x00b"])
def test_an_id_that_would_break_a_line_changes_no_file(tmp_path, doc_id):
    with pytest.raises(UnwritableIdError):
        JudgementFiles(Folder(tmp_path)).save(judgement("q", doc_id, 1))
    assert not Folder(tmp_path).exists(HISTORY)


def test_services_that_share_the_files_lose_no_grade(tmp_path):
    services = [JudgementFiles(Folder(tmp_path)) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: services[n % 4].save(judgement("q", f"d{n}", n % 4)), range(40)))
    assert qrels_in(tmp_path) == {"q": {f"d{n}": n % 4 for n in range(40)}}
    assert len(history_in(tmp_path)) == 40


def test_a_grade_that_only_reached_the_history_is_in_the_next_qrels(tmp_path):
    files = JudgementFiles(Folder(tmp_path))
    files.save(judgement("q", "d1", 1))
    with (tmp_path / HISTORY).open("a") as stream:  # as a process does that is killed between the two writes
        stream.write(judgement("q", "d2", 2).model_dump_json() + "\n")
    files.save(judgement("q", "d3", 3))
    assert qrels_in(tmp_path) == {"q": {"d1": 1, "d2": 2, "d3": 3}}


def test_a_malformed_history_is_an_error_that_names_the_line(tmp_path):
    files = JudgementFiles(Folder(tmp_path))
    files.save(judgement("q", "d1", 1))
    with (tmp_path / HISTORY).open("a") as stream:
        stream.write("not a judgement\n")
    with pytest.raises(InputError, match=r"history.jsonl, line 2: not a judgement"):
        files.save(judgement("q", "d2", 1))
    assert qrels_in(tmp_path) == {"q": {"d1": 1}}


def test_id_of_a_query_text_is_the_start_of_its_sha256():
    assert text_query_id("brot") == "text-" + hashlib.sha256(b"brot").hexdigest()[:24]

"""Rule-written queries of pydoc, and the file with them."""

import pytest

from benchmarks.rule_queries import first_sentence, rows_of
from ranking.generation.generation_settings import RecordedGenerationSettings
from ranking.generation.recorded_queries import read_recorded_queries
from ranking.records import Document
from ray_jobs.common.run import open_run


@pytest.mark.parametrize(
    ("doc_id", "text", "queries"),
    [
        (
            "heapq.merge",
            "merge(*iterables)\n\nReturns the smallest elements of several sorted iterables. More.",
            {
                "keywords": "returns smallest elements several sorted iterables",
                "question": "how to get smallest elements of several sorted iterables",
            },
        ),
        ("os.path.join", "Join path.", {}),
        ("time.sleep", "A clock that ticks every second of the day", {"keywords": "clock ticks every second day"}),
    ],
)
def test_queries_come_from_the_first_sentence(doc_id, text, queries):
    assert {row["style"]: row["text"] for row in rows_of(Document(doc_id=doc_id, text=text))} == queries


def test_signatures_are_no_sentences():
    assert first_sentence("f(x) -> y and z\n\nOne two three four. Five.") == "One two three four."
    assert first_sentence("f(x)") == ""


def test_run_file_reads_the_queries_of_the_repository(tmp_path):
    run = open_run(["configs/documents_only.yaml", "--storage", str(tmp_path)])
    settings = run.settings.queries.generate
    assert isinstance(settings, RecordedGenerationSettings)
    assert len(read_recorded_queries(settings).by_document) == 675

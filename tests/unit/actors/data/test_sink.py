"""The sink writes typed outcomes as parts of their split's stage, and rejections to rejected/."""

import pytest

from actors.data.rows import Outcome, records, table_of
from actors.data.sink import COUNTS, PartSink
from ranking.records import Label, Query, Rejection, TokenCounts
from ranking.runs.stages import REJECTED, Stage
from ranking.storage.folder import Folder
from ranking.storage.parquet_files import part_name, schema_of
from tests.testing.synthetic_labels import label_of


def stages_in(folder):
    run = Folder(folder)
    return {"log": Stage(run, "labels", {}, []), "test": Stage(run, "test/labels", {}, [])}


def label(query_id, **changes):
    """Return a label with text in several scripts and characters that JSON escapes."""
    made = label_of(["d2", "d1"], documents=3)
    made.candidates[0].text = 'zwölf "字"\n\u2028 🜛 \\ \x00'
    return made.model_copy(update={"query_id": query_id, "query": "welches Metall? 何", **changes})


REJECTIONS = [
    Rejection(query_id="q3", stage="labels", reason="no usable answer: refused", attempts=2, raw="Nein – 不"),
    Rejection(query_id="q4", stage="labels", reason="no candidates to rank"),
]


def outcomes(labels):
    return [
        *(Outcome(query_id=row.query_id, row=row, tokens=TokenCounts(prompt=10, completion=3)) for row in labels),
        *(Outcome(query_id=row.query_id, rejection=row, tokens=TokenCounts(prompt=1)) for row in REJECTIONS),
    ]


def test_outcomes_survive_the_conversion_to_arrow_columns():
    labels = [label("q1"), label("q2", confidence=0.1 + 0.2)]
    table = table_of(outcomes(labels), Outcome[Label])
    assert table.schema.field("row").type.fields == list(schema_of(Label))
    assert records(table, Outcome[Label]) == [Outcome[Label](**dict(outcome)) for outcome in outcomes(labels)]


def test_labels_and_rejections_survive_the_sink(tmp_path):
    labels, stages = [label("q1"), label("q2", confidence=0.1 + 0.2)], stages_in(tmp_path)
    counts = PartSink(Label, stages)(table_of(outcomes(labels), Outcome[Label]))
    log, rejected = stages["log"], Folder(tmp_path) / REJECTED
    assert list(log.folder.read_rows(Label)) == labels
    assert labels[0].confidence is None
    assert labels[0].candidates[2].position is None
    assert list(rejected.read_rows(Rejection)) == REJECTIONS
    assert counts.schema == COUNTS
    assert counts.to_pylist() == [
        {"split": "log", "rows": 2, "rejected": 2, "prompt_tokens": 22, "completion_tokens": 6},
        {"split": "test", "rows": 0, "rejected": 0, "prompt_tokens": 0, "completion_tokens": 0},
    ]


def test_parts_equal_the_parts_that_write_rows_writes(tmp_path):
    labels, stages = [label("q1"), label("q2")], stages_in(tmp_path / "run")
    PartSink(Label, stages)(table_of(outcomes(labels), Outcome[Label]))
    written, expected, name = stages["log"].folder, Folder(tmp_path / "expected"), part_name(["q1", "q2"])
    expected.write_rows(name, labels)
    assert written.names() == [name]
    assert written.schema(name) == schema_of(Label)
    assert written.read_table(name).equals(expected.read_table(name), check_metadata=True)
    (part,) = (Folder(tmp_path / "run") / REJECTED).names()
    assert part == stages["log"].rejected_prefix + part_name(["q3", "q4"])
    assert (Folder(tmp_path / "run") / REJECTED).schema(part) == schema_of(Rejection)


def test_each_split_goes_to_its_stage(tmp_path):
    stages = stages_in(tmp_path)
    mixed = [Outcome(query_id=f"q{n}", split=split, row=label(f"q{n}")) for n, split in enumerate(["log", "test"] * 2)]
    PartSink(Label, stages)(table_of(mixed, Outcome[Label]))
    assert stages["log"].folder.read_column("query_id") == ["q0", "q2"]
    assert stages["test"].folder.read_column("query_id") == ["q1", "q3"]
    assert not (Folder(tmp_path) / REJECTED).exists()


def test_batch_without_rows_writes_nothing(tmp_path):
    stages = stages_in(tmp_path)
    sink = PartSink(Label, stages)
    assert sink(table_of([], Outcome[Label])).num_rows == 0
    assert not stages["log"].folder.exists()


def test_rows_of_another_record_class_are_an_error(tmp_path):
    queries = [Outcome(query_id="q", row=Query(query_id="q", text="t"))]
    with pytest.raises(ValueError, match="field names are not matching"):
        PartSink(Label, stages_in(tmp_path))(table_of(queries, Outcome[Query]))

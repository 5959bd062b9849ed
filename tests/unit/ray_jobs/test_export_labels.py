"""The job that exports labels: its file, what it prints, and its errors."""

import json
import sys

import pytest

from ranking.errors import InputError
from ray_jobs import export_labels
from ray_jobs.common import console
from ray_jobs.common import run as runs
from ray_jobs.common.run import open_run
from ray_jobs.training import training_labels
from tests.testing.synthetic_labels import label_of


@pytest.fixture
def arguments(tmp_path):
    """Return the command line of a run over a collection with one document and one query."""
    folder = tmp_path / "beir"
    (folder / "qrels").mkdir(parents=True)
    (folder / "corpus.jsonl").write_text('{"_id": "d1", "text": "copper"}\n')
    (folder / "queries.jsonl").write_text('{"_id": "t", "text": "metal"}\n')
    (folder / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nt\td1\t1\n")
    return ["configs/collection.yaml", "--storage", str(tmp_path), "--collection.source", f"beir:{folder}"]


@pytest.fixture
def labelled(arguments):
    """Return a function that opens a run with four labels of six documents: two list two of them, two list all."""

    def opened(*overrides):
        run = open_run([*arguments, "--run", "made", *overrides])
        everything = [f"d{n}" for n in range(1, 7)]
        labels = [
            label_of(["d2", "d1"] if n < 2 else everything).model_copy(
                update={"query_id": f"q{n}", "confidence": [0.9, 0.4, None, None][n]}
            )
            for n in range(4)
        ]
        if not run.plan.labels.manifest:
            run.plan.labels.begin()
            run.plan.labels.folder.write_rows("part-1.parquet", labels)
            run.plan.labels.finish(rows_in=4, rows_out=4)
        return run

    return opened


def read_lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_labels_are_exported_to_the_runs_folder(labelled, tmp_path, capsys):
    export_labels.main(labelled())
    rows = read_lines(tmp_path / "made" / "export" / "sentence_transformers.jsonl")
    assert [row.keys() for row in rows] == [{"query", "docs", "labels"}] * 4
    assert "4 of 4 labels as sentence_transformers to " in " ".join(capsys.readouterr().out.split())


def test_skipped_labels_are_printed(labelled, tmp_path, capsys):
    path = tmp_path / "out" / "labels.jsonl"
    export_labels.main(labelled("--export.format", "flag_embedding", "--export.output", str(path)))
    assert len(read_lines(path)) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert "2 of 4 labels as flag_embedding to " in printed
    assert "skipped 2 labels without a positive or a negative" in printed


def test_output_ending_in_json_is_an_array(labelled, tmp_path):
    export_labels.main(labelled("--export.format", "rank_llm", "--export.output", str(tmp_path / "ranked.json")))
    rows = json.loads((tmp_path / "ranked.json").read_text(encoding="utf-8"))
    assert [row["query"]["qid"] for row in rows] == ["q0", "q1", "q2", "q3"]


def test_only_confident_labels_of_the_split_are_exported(labelled, tmp_path):
    def exported(split):
        path = tmp_path / f"{split}.jsonl"
        flags = ["--training.validation_fraction", "0.5", "--training.confidence.min_confidence", "0.5"]
        flags += ["--export.format", "rank_llm", "--export.split", split, "--export.output", str(path)]
        export_labels.main(labelled(*flags))
        return [row["query"]["qid"] for row in read_lines(path)]

    kept = ["q0", "q2", "q3"]
    validation, train = training_labels.split_validation(kept, 0.5, labelled().settings.queries.seed)
    assert validation
    assert train
    assert exported("all") == kept
    assert sorted(exported("validation")) == validation
    assert exported("train") == train


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--export.min_positive_score", "0"], r"setting 'export\.min_positive_score': the labels have tiers"),
        (["--export.output", "{storage}"], r"setting 'export\.output': .*made\.json is a folder; give the name"),
        (["--export.output", "{file}/labels.jsonl"], r"not writable .*; choose another folder with --export\.output"),
        (["--export.max_positive_rank", "9", "--export.negative_tiers", "[]"], "none of the 4 labels can be exported"),
    ],
)
def test_errors_leave_no_file(labelled, tmp_path, flags, message):
    (tmp_path / "made.json").mkdir()
    (tmp_path / "file").write_text("")
    places = {"storage": tmp_path / "made.json", "file": tmp_path / "file"}
    run = labelled("--export.format", "flag_embedding", *(flag.format(**places) for flag in flags))
    with pytest.raises(InputError, match=message):
        export_labels.main(run)
    assert (run.folder / "export").names() == []


def run_console(monkeypatch, *arguments):
    monkeypatch.setattr(runs.signal, "signal", lambda *_: None)
    monkeypatch.delitem(sys.modules, "ray_jobs.export_labels")
    monkeypatch.setattr(sys, "argv", ["rradistill", *arguments])
    with pytest.raises(SystemExit) as ended:
        console.main()
    return ended.value.code


def test_console_command_lists_the_job(monkeypatch, capsys):
    assert run_console(monkeypatch, "--help") == 0
    assert "  export_labels  Export the labels of a run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "code", "printed"),
    [
        (["--help"], 0, "--export.max_negatives"),
        (["--export.format", "csv"], 2, "setting 'export.format'"),
        (["--export.fromat", "ms_swift"], 2, "did you mean --export.format?"),
        ([], 2, "labelling with these settings is not finished; run ray_jobs.label first"),
    ],
)
def test_console_command_ends_with_an_exit_code(flags, code, printed, arguments, monkeypatch, capsys):
    assert run_console(monkeypatch, "export_labels", *arguments, *flags) == code
    output = capsys.readouterr()
    assert printed in output.out + output.err
    assert len(output.err.splitlines()) == (1 if code else 0)

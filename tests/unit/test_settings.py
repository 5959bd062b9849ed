"""Run files and the command line over them."""

import pytest

from ranking.errors import InputError
from ray_jobs.run import RunSettings, load_settings, open_run


def load(tmp_path, text="", *overrides):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return load_settings(RunSettings, path, overrides)


def test_command_line_is_laid_over_the_file(tmp_path):
    settings = load(
        tmp_path, "run: a\nteacher: {kind: pointwise, model: minilm}\n", "--run", "7", "--teacher.model=x/y", "--students", "[]"
    )
    assert (settings.run, settings.teacher.model, settings.students) == ("7", "x/y", [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("storag: runs\n", "unknown setting 'storag'; did you mean 'storage'?"),
        ("training: {epoch: 2}\n", "did you mean 'epochs'?"),
        ("teacher: {kind: pointwise, modell: x}\n", "did you mean 'model'?"),
        ("candidates: {retrievers: [{kind: bm25, k2: 1}]}\n", "did you mean 'k1'?"),
        ("students: [{kind: rra_bert, haed: cls}]\n", "did you mean 'head'?"),
        ("training: {epochs: many}\n", "setting 'training.epochs'"),
        ("teacher: {max_tokens: 9}\n", "setting 'teacher.kind': must be one of listwise, pointwise, recorded"),
        ("reasons: {kind: oracle}\n", "must be one of none, extractive, llm, not 'oracle'"),
        ("reasons: {kind: llm, model: m, per_lists: 2}\n", "did you mean 'per_list'?"),
        (
            "training: {confidence: {at_least: 2}}\n",
            "setting 'training.confidence.at_least': input should be less than or equal to 1, not 2",
        ),
        ("teacher: {kind: oracle}\n", "must be one of listwise, pointwise, recorded, not 'oracle'"),
        ("- a\n", "a run file is a mapping"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, text, expected):
    with pytest.raises(InputError) as error:
        load(tmp_path, text)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(["--run"], "a value is missing"), (["run"], "settings are given as --key value"), (["--students", "[}"], "not valid JSON")],
)
def test_malformed_arguments(tmp_path, arguments, expected):
    with pytest.raises(InputError, match=expected):
        load(tmp_path, "", *arguments)


def test_storage_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    run_file = tmp_path / "run.yaml"
    run_file.write_text("run: a\n")
    with pytest.raises(InputError, match="cannot be written"):
        open_run([str(run_file), "--storage", str(tmp_path / "file")])


def test_a_first_stage_that_nothing_makes_is_named(tmp_path):
    (tmp_path / "run.yaml").write_text("evaluation: {first_stages: [bm52]}\n")
    with pytest.raises(InputError, match="'bm52' is none of bm25, dense, fused"):
        open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path)])


def test_missing_run_file():
    with pytest.raises(InputError, match="cannot be read"):
        open_run(["nowhere.yaml"])

"""Run files and the command line over them."""

import pytest

from ranking.errors import InputError
from ray_jobs import evaluate
from ray_jobs.common import plan
from ray_jobs.common.run import RunSettings, load_settings, open_run
from ray_jobs.evaluation import systems


def load(tmp_path, text="", *overrides):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return load_settings(RunSettings, path, overrides)


def test_command_line_is_laid_over_the_file(tmp_path):
    settings = load(
        tmp_path,
        "run: a\nteacher: {kind: pointwise, model: minilm}\n",
        "--run",
        "7",
        "--teacher.model=x/y",
        "--students",
        "[]",
    )
    assert (settings.run, settings.teacher.model, settings.students) == ("7", "x/y", [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("storag: runs\n", "unknown setting 'storag'; did you mean 'storage'?"),
        ("training: {epoch: 2}\n", "did you mean 'epochs'?"),
        ("teacher: {kind: pointwise, modell: x}\n", "did you mean 'model'?"),
        ("candidates: {retrievers: [{kind: bm25, k2: 1}]}\n", "did you mean 'k1'?"),
        ("students: [{kind: rra_bert, bass: x}]\n", "did you mean 'base'?"),
        ("training: {epochs: many}\n", "setting 'training.epochs'"),
        ("teacher: {max_tokens: 9}\n", "setting 'teacher.kind': must be one of listwise, pointwise, recorded"),
        ("rationales: {kind: oracle}\n", "must be one of none, extractive, llm, not 'oracle'"),
        ("rationales: {kind: llm, model: m, per_lists: 2}\n", "did you mean 'rationales_per_list'?"),
        (
            "training: {confidence: {min_confidence: 2}}\n",
            "setting 'training.confidence.min_confidence': input should be less than or equal to 1, not 2",
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
    [
        (["--run"], "a value is missing"),
        (["run"], "settings are given as --key value"),
        (["--students", "[}"], "not valid JSON"),
    ],
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


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            ["--evaluation.runs", '[{"name": "bm25", "path": "x"}]'],
            r"'evaluation.runs': the name 'bm25' is taken by another system",
        ),
        (
            ["--evaluation.models", '[{"name": "rra-bert", "model": "x"}]'],
            r"'evaluation.models': the name 'rra-bert' is taken",
        ),
        (
            ["--students", '[{"kind": "rra_bert", "name": "teacher"}]'],
            r"setting 'students': the name 'teacher' is taken",
        ),
        (
            [
                "--evaluation.models",
                '[{"name": "a", "model": "x"}]',
                "--evaluation.runs",
                '[{"name": "a", "path": "x"}]',
            ],
            r"runs and models need names of their own; 'a' stands twice",
        ),
    ],
)
def test_systems_of_an_evaluation_need_names_of_their_own(tmp_path, overrides, expected):
    (tmp_path / "run.yaml").write_text("run: x\n")
    with pytest.raises(InputError, match=expected):
        open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path), *overrides])


def test_a_control_is_one_of_the_systems_and_no_student(tmp_path):
    def checked(*overrides):
        (tmp_path / "run.yaml").write_text("run: x\n")
        evaluate.check_baseline(open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path), *overrides]))

    for control in ("bm25", "fused", "pre-ranker", "teacher@fused"):
        checked("--evaluation.baseline", control)
    for control in ("bm52", "rra-bert"):
        with pytest.raises(
            InputError, match=rf"'evaluation.baseline': '{control}' is none of bm25, dense, fused, pre-ranker, teacher"
        ):
            checked("--evaluation.baseline", control)


def test_the_fused_list_of_one_retriever_is_a_control_only_where_it_is_asked_for(tmp_path):
    one = [
        "--candidates.retrievers",
        '[{"kind": "bm25"}]',
        "--evaluation.baseline",
        "fused",
        "--evaluation.first_stages",
    ]

    def checked(first_stages):
        (tmp_path / "run.yaml").write_text("run: x\n")
        evaluate.check_baseline(open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path), *one, first_stages]))

    checked('["fused"]')
    with pytest.raises(InputError, match="'fused' is none of bm25, pre-ranker, teacher, pre-ranker@bm25, teacher@bm25"):
        checked('["bm25"]')


def test_a_student_that_was_trained_with_other_settings_is_not_evaluated(tmp_path):
    def opened(*overrides):
        (tmp_path / "run.yaml").write_text("run: x\n")
        return open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path), *overrides])

    run = opened()
    stage = plan.student_stage(run, run.settings.students[0])
    stage.begin()
    with pytest.raises(InputError, match="student 'rra-bert' is not trained with these settings"):
        systems.trained(run, "rra-bert")
    stage.finish(rows_in=1, rows_out=1)
    assert systems.trained(run, "rra-bert").uri == f"{stage.folder.uri}/model"
    with pytest.raises(InputError, match="student 'rra-bert' is not trained with these settings"):
        systems.trained(opened("--training.epochs", "7"), "rra-bert")

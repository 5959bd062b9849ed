"""Run files, and command-line settings that override them."""

import pytest

from ranking.errors import InputError
from ray_jobs import evaluate
from ray_jobs.common.command_line import parse
from ray_jobs.common.run import open_run, resolve
from ray_jobs.common.run_settings import RunSettings
from ray_jobs.evaluation import systems


def load(tmp_path, text="", *overrides):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    return resolve(parse(RunSettings, [str(path), *overrides], "rradistill", ""))


def test_command_line_overrides_the_run_file(tmp_path):
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
        (
            "teacher: {max_tokens: 9}\n",
            "setting 'teacher.kind': must be one of listwise, pointwise, pairwise, setwise, recorded",
        ),
        ("rationales: {kind: oracle}\n", "must be one of none, extractive, llm, thinking, not 'oracle'"),
        ("rationales: {kind: llm, model: m, per_lists: 2}\n", "did you mean 'rationales_per_list'?"),
        (
            "training: {confidence: {min_confidence: 2}}\n",
            "setting 'training.confidence.min_confidence': input should be less than or equal to 1, not 2",
        ),
        (
            "passages: {tokens: 160}\n",
            "setting 'passages.tokens': 160 leaves no room for the query in the max_length of student 'rra-bert', 160",
        ),
        ("passages: {tokens: 32}\n", "setting 'passages': value error, stride 64 is more than tokens 32"),
        ("passages: {aggregate: mean}\n", "setting 'passages.aggregate': input should be 'max', not 'mean'"),
        ("teacher: {kind: oracle}\n", "must be one of listwise, pointwise, pairwise, setwise, recorded, not 'oracle'"),
        ("- a\n", "a run file must be a mapping"),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_wrong_run_file_is_reported_in_one_line(tmp_path, text, expected):
    with pytest.raises(InputError) as error:
        load(tmp_path, text)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--run"], "the value is missing"),
        (["run"], "expected --key value"),
        (["--students", "[}"], "not valid JSON"),
    ],
)
def test_malformed_arguments_are_rejected(tmp_path, arguments, expected):
    with pytest.raises(InputError, match=expected):
        load(tmp_path, "", *arguments)


def test_storage_that_is_not_writable_is_rejected(tmp_path):
    (tmp_path / "file").write_text("")
    run_file = tmp_path / "run.yaml"
    run_file.write_text("run: a\n")
    with pytest.raises(InputError, match="not writable"):
        open_run([str(run_file), "--storage", str(tmp_path / "file")])


def test_unknown_first_stage_is_named(tmp_path):
    (tmp_path / "run.yaml").write_text("evaluation: {first_stages: [bm52]}\n")
    with pytest.raises(InputError, match="unknown first stage 'bm52'; use one of bm25, dense, fused"):
        open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path)])


def test_missing_run_file_is_rejected():
    with pytest.raises(InputError, match="cannot read the run file"):
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
            r"names of runs and models must be unique; 'a' appears twice",
        ),
    ],
)
def test_systems_of_an_evaluation_need_distinct_names(tmp_path, overrides, expected):
    (tmp_path / "run.yaml").write_text("run: x\n")
    with pytest.raises(InputError, match=expected):
        open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path), *overrides])


def test_baseline_is_a_known_system_and_not_a_student(tmp_path):
    def check(*overrides):
        (tmp_path / "run.yaml").write_text("run: x\n")
        evaluate.check_baseline(open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path), *overrides]))

    for baseline in ("bm25", "fused", "pre-ranker", "teacher@fused"):
        check("--evaluation.baseline", baseline)
    for baseline in ("bm52", "rra-bert"):
        with pytest.raises(
            InputError, match=rf"unknown system '{baseline}'; use one of bm25, dense, fused, pre-ranker, teacher"
        ):
            check("--evaluation.baseline", baseline)


def test_fused_list_of_one_retriever_is_a_baseline_only_as_first_stage(tmp_path):
    arguments = [
        "--candidates.retrievers",
        '[{"kind": "bm25"}]',
        "--evaluation.baseline",
        "fused",
        "--evaluation.first_stages",
    ]

    def check(first_stages):
        (tmp_path / "run.yaml").write_text("run: x\n")
        evaluate.check_baseline(
            open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path), *arguments, first_stages])
        )

    check('["fused"]')
    with pytest.raises(
        InputError, match="unknown system 'fused'; use one of bm25, pre-ranker, teacher, pre-ranker@bm25, teacher@bm25"
    ):
        check('["bm25"]')


def test_student_trained_with_other_settings_is_not_evaluated(tmp_path):
    def opened(*overrides):
        (tmp_path / "run.yaml").write_text("run: x\n")
        return open_run([str(tmp_path / "run.yaml"), "--storage", str(tmp_path), *overrides])

    run = opened()
    stage = run.plan.student(run.settings.students[0])
    stage.begin()
    with pytest.raises(InputError, match="student 'rra-bert' is not trained with these settings"):
        systems.trained_model(run, "rra-bert")
    stage.finish(rows_in=1, rows_out=1)
    assert systems.trained_model(run, "rra-bert").uri == f"{stage.folder.uri}/model"
    with pytest.raises(InputError, match="student 'rra-bert' is not trained with these settings"):
        systems.trained_model(opened("--training.epochs", "7"), "rra-bert")


@pytest.mark.parametrize(
    ("text", "encoder"),
    [
        ("", ("minilm", None)),
        ("pre_ranker: null\n", None),
        ("pre_ranker: {model: a/b, revision: v1}\npassages: {}\n", ("a/b", "v1")),
        ("pre_ranker: null\npassages: {}\ncandidates: {retrievers: [{kind: bm25}, {kind: dense, model: c/d}]}\n",
         ("c/d", None)),
        ("pre_ranker: null\npassages: {}\ncandidates: {retrievers: [{kind: bm25}]}\n", ("minilm", None)),
    ],
)  # fmt: skip
def test_passages_are_chosen_by_the_pre_ranker_or_a_dense_retriever(tmp_path, text, encoder):
    assert load(tmp_path, text).candidate_encoder == encoder

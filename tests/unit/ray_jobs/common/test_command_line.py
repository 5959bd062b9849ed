"""Flags for every setting, help, and errors in one line."""

import re

import pytest

from ranking.errors import InputError
from ray_jobs import label, promote
from ray_jobs.common import console
from ray_jobs.common.command_line import parse
from ray_jobs.common.run import job
from ray_jobs.common.run_settings import RunSettings


def parsed(*arguments, **more):
    return parse(RunSettings, ["run.yaml", *arguments], "python -m ray_jobs.train", "Train students.", **more)


def test_overrides_keep_their_order_and_types():
    given = [
        "--training.zero_stage",
        "3",
        "--training.gpu=true",
        "--pre_ranker",
        "null",
        "--training.learning_rate",
        "1e-4",
    ]
    given += ["--teacher", '{"kind": "pointwise"}', "--teacher.engine", '{"a": [1]}', "--evaluation.measures", "RR@10"]
    assert parsed(*given).overrides == [
        ("training.zero_stage", 3),
        ("training.gpu", True),
        ("pre_ranker", None),
        ("training.learning_rate", "1e-4"),  # as YAML reads it; Pydantic converts it
        ("teacher", {"kind": "pointwise"}),
        ("teacher.engine", {"a": [1]}),
        ("evaluation.measures", ["RR@10"]),
    ]


def test_a_later_object_replaces_earlier_flags():
    given = ("--rationales.kind", "extractive", "--rationales", '{"kind": "llm", "model": "m"}')
    assert parsed(*given).overrides[-1] == ("rationales", {"kind": "llm", "model": "m"})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--training.epoch", "2"], "argument --training.epoch: unknown setting; did you mean --training.epochs?"),
        (["--zzz", "2"], "argument --zzz: unknown setting; --help lists all"),
        (["--students.name", "x"], "argument --students.name: unknown setting; did you mean --students?"),
        (["--training.epochs"], "argument --training.epochs: the value is missing, expected --training.epochs VALUE"),
        (["training.epochs", "2"], "argument 'training.epochs': expected --key value, for example --training.epochs 2"),
        (["--teacher", '{"kind": '], "argument --teacher: not valid JSON (Expecting value at character 10)"),
    ],
)
def test_errors_are_one_line(arguments, message):
    with pytest.raises(InputError) as error:
        parsed(*arguments)
    assert str(error.value) == message


def test_a_missing_run_file_is_named():
    with pytest.raises(InputError, match="a run file is missing, for example"):
        parse(RunSettings, ["--run", "x"], "rradistill", "")


def test_help_lists_the_settings_that_the_job_reads(capsys):
    with pytest.raises(SystemExit) as end:
        parsed("--help", reads=("training", "students"))
    text = capsys.readouterr().out
    assert end.value.code == 0
    assert "Train students." in text
    assert "--training.epochs int" in text
    assert "(default: 2)" in text
    assert "each object in --students of kind rra_gpt:" in text
    assert "--serving" not in text


def test_jobs_have_options_of_their_own():
    assert parsed("--estimate", add_options=label.add_options).options.estimate
    options = parsed("--to", "v1", "--run", "x", add_options=promote.add_options)
    assert (options.options.to, options.overrides) == ("v1", [("run", "x")])
    with pytest.raises(InputError, match="argument --list: not allowed with argument --rollback"):
        parsed("--rollback", "--list", add_options=promote.add_options)


def test_print_config_writes_nothing(tmp_path, capsys):
    arguments = [
        "configs/quickstart.yaml",
        "--storage",
        str(tmp_path / "runs"),
        "--training.epochs",
        "7",
        "--print-config",
    ]
    job(lambda run: pytest.fail("the job ran"), arguments=arguments)
    assert "  epochs: 7\n" in capsys.readouterr().out
    assert not (tmp_path / "runs").exists()


def test_console_lists_jobs_and_rejects_unknown_ones(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["rradistill", "--help"])
    with pytest.raises(SystemExit) as end:
        console.main()
    assert end.value.code == 0
    assert re.search(r"\n  train +Train students", capsys.readouterr().out)
    monkeypatch.setattr("sys.argv", ["rradistill", "trian"])
    with pytest.raises(SystemExit) as end:
        console.main()
    assert end.value.code == 2
    assert "unknown job 'trian'" in capsys.readouterr().err

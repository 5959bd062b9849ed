"""Run files with credentials are refused in one line that does not repeat them."""

import json

import pytest
import yaml

from ranking.credentials import check_no_credentials
from ranking.errors import InputError
from ray_jobs.common.run import open_run
from tests.testing.facts import ROOT

ACCESS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"
SECRETS = {
    "access key": (ACCESS_KEY, "AWS_ACCESS_KEY_ID"),
    "temporary key": ("ASIA" + "IOSFODNN7EXAMPLE", "AWS_ACCESS_KEY_ID"),
    "secret key": ("aws_secret_access_key = hush", "AWS_SECRET_ACCESS_KEY"),
    "uri": ("s3://user:hush@bucket/rra", "AWS_SECRET_ACCESS_KEY"),
    "reader uri": ("beir:https://user:hush@host/x", "AWS_SECRET_ACCESS_KEY"),
    "hub": ("hf_" + "aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567", "HF_TOKEN"),
    "api": ("sk-" + "proj-abc123def456ghi789jkl0", "environment variables"),
    "github": ("ghp_" + "a1" * 18, "GITHUB_TOKEN"),
    "private key": ("-----BEGIN RSA PRIVATE KEY-----\nhush", "path of a file"),
}


def refusal(run_file, *flags):
    """Return the message with which a run file is refused."""
    with pytest.raises(InputError) as refused:
        open_run([str(run_file), *flags])
    return str(refused.value)


@pytest.mark.parametrize("key", ["hush-hush", "abc123DEF", ""])
def test_key_in_place_of_the_name_of_its_variable_is_refused(tmp_path, key):
    path = tmp_path / "run.yaml"
    hosted = {"url": "https://host/v1", "api_key_env": key}
    teacher = {"kind": "listwise", "backend": "openai", "model": "m", "hosted": hosted}
    path.write_text(yaml.safe_dump({"storage": str(tmp_path), "teacher": teacher}))
    message = refusal(path)
    assert "'teacher.hosted.api_key_env' must be the name of an environment variable in capitals" in message
    assert not key or key not in message


@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("place", ["collection.source", "queries.log"])
def test_values_with_credentials_are_refused_and_not_printed(tmp_path, kind, place):
    secret, variable = SECRETS[kind]
    part, name = place.split(".")
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"storage": str(tmp_path), part: {name: secret}}))
    message = refusal(path)
    assert message.startswith(f"{path}: setting '{place}' contains credentials (")
    assert variable in message
    assert secret not in message
    assert "hush" not in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "name", ["aws_secret_access_key", "AWS_SESSION_TOKEN", "password", "hf_token", "openai_api_key"]
)
def test_settings_named_as_credentials_are_refused_and_not_printed(tmp_path, name):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"teacher": {"engine": {name: "hush"}}}))
    message = refusal(path)
    assert f"setting 'teacher.engine.{name}' contains credentials" in message
    assert "hush" not in message


def test_credentials_on_the_command_line_and_in_lists_are_refused(tmp_path):
    run_file = ROOT / "configs" / "quickstart.yaml"
    assert "setting 'storage' contains" in refusal(run_file, "--storage", "s3://user:hush@bucket/rra")
    students = json.dumps([{"name": "a", "kind": "rra_bert", "base": ACCESS_KEY}])
    assert "setting 'students.0.base' contains credentials" in refusal(run_file, "--students", students)


def test_credentials_as_keys_are_refused(tmp_path):
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({"queries": {ACCESS_KEY: 1}}))
    assert refusal(path).startswith(f"{path}: setting 'queries' contains credentials")


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda path: path.stem)
def test_run_files_of_the_project_contain_no_credentials(path):
    check_no_credentials(yaml.safe_load(path.read_text()), path.name)


@pytest.mark.parametrize(
    "text",
    [
        "s3://bucket/rra",
        "token",
        "max_tokens: 5",
        "hf_model",
        "risk-averse-strategies-of-2024-and-later",
        "AKIA",
        "a@b.c",
    ],
)
def test_ordinary_texts_are_accepted(text):
    check_no_credentials({"queries": {"log": text, "max_tokens": 5, "token_selection": "x"}, text: None}, "run.yaml")

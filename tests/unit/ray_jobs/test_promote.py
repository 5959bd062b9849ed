"""Promotion by hand and rollback."""

import json

import pytest

from ranking.errors import InputError
from ranking.storage.folder import Folder
from ray_jobs import promote
from ray_jobs.common.run import open_run
from students import student_config
from tests.testing.quantization_results import quantization


@pytest.mark.parametrize("action", [promote.promote_by_hand("old"), promote.rollback])
def test_unloadable_version_cannot_become_champion(action, tmp_path):
    run = open_run(["configs/quickstart.yaml", "--storage", str(tmp_path / "runs")])
    for version, config in (("old", "{"), ("new", json.dumps({"name": "new"}))):
        model = Folder(tmp_path / version)
        model.write_text(student_config.NAME, config)
        run.registry.promote(model, version, "made", "for this test")
    with pytest.raises(InputError, match=r"registry/old: rradistill\.json is not valid JSON"):
        action(run)
    assert run.registry.read().champion == "new"


@pytest.mark.parametrize(("accepted", "word"), [(True, "accepted"), (False, "rejected")])
def test_list_shows_whether_the_champion_has_an_int8_model(accepted, word, tmp_path, monkeypatch):
    run = open_run(["configs/quickstart.yaml", "--storage", str(tmp_path / "runs")])
    model, result = Folder(tmp_path / "model"), quantization(accepted=accepted)
    model.write_text(student_config.NAME, json.dumps({"name": "v", "quantization": result.model_dump()}))
    run.registry.promote(model, "v", "made", "for this test")
    lines = []
    monkeypatch.setattr(run.progress, "line", lines.append)
    promote.show(run)
    assert f"int8 {word}: {result.numbers}" in lines

"""Promotion by hand and rollback."""

import json

import pytest

from ranking.errors import InputError
from ranking.storage.folder import Folder
from ray_jobs import promote
from ray_jobs.common.run import open_run
from students import student_config


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

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
    for version, more in (("old", {"head": "interaction"}), ("new", {})):
        model = Folder(tmp_path / version)
        model.write_text(student_config.NAME, json.dumps({"name": version, **more}))
        run.registry.promote(model, version, "made", "for this test")
    with pytest.raises(InputError, match=r"registry/old: a student with the `interaction` head of an older version"):
        action(run)
    assert run.registry.read().champion == "new"

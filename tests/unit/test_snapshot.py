"""Ray's list of checkpoints: kept where it is whole, removed where no training could begin with it."""

import json

import pytest

from actors.training.snapshot import NAME, remove_if_broken
from ranking.storage import Folder

WHOLE = json.dumps({"ray_version": "2", "checkpoint_results": [{"checkpoint_dir_name": "checkpoint_1", "metrics": {}}]})


@pytest.fixture
def checkpoints(tmp_path):
    folder = Folder(tmp_path)
    (folder / "checkpoint_1").write_text("state.json", "{}")
    return folder


def test_a_whole_list_and_none_stay(checkpoints):
    assert not remove_if_broken(checkpoints)
    checkpoints.write_text(NAME, WHOLE)
    assert not remove_if_broken(checkpoints)
    assert checkpoints.read_text(NAME) == WHOLE


@pytest.mark.parametrize("text", ["", WHOLE[:40], "[]", "{}", WHOLE.replace("checkpoint_1", "checkpoint_2")])
def test_a_list_that_is_cut_off_or_names_what_is_not_there_is_removed(text, checkpoints):
    checkpoints.write_text(NAME, text)
    assert remove_if_broken(checkpoints)
    assert not checkpoints.exists(NAME)
    assert (checkpoints / "checkpoint_1").exists()

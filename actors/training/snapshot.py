"""Ray's list of a training's checkpoints.

It is written in place, so a kill at that moment leaves it cut off, and no later call could start.
"""

from __future__ import annotations

import json

from ranking.storage import Folder

NAME = "checkpoint_manager_snapshot.json"


def remove_if_broken(checkpoints: Folder) -> bool:
    """Remove a list that is cut off, or names a checkpoint that is not there; training then begins anew. Returns whether it was removed."""
    if not checkpoints.exists(NAME) or _is_whole(checkpoints):
        return False
    checkpoints.remove(NAME)
    return True


def _is_whole(checkpoints: Folder) -> bool:
    try:
        names = [one["checkpoint_dir_name"] for one in json.loads(checkpoints.read_text(NAME))["checkpoint_results"]]
    except (ValueError, KeyError, TypeError):
        return False
    return all((checkpoints / name).exists() for name in names)

"""What a training asked Ray for, taken back by the next call where the job that asked was killed.

Ray's coordinator of resources keeps a request for three minutes after its last sign of life; an elastic training that is called
again at once would wait so long for nodes that nobody uses.
"""

from __future__ import annotations

import contextlib
from typing import Any

from ranking.storage.folder import Folder

NAME = "reserved.txt"
_COORDINATOR = "AutoscalingCoordinator"
_SECONDS = 10.0


def note(folder: Folder, trainer: Any) -> None:
    """Note under which name a trainer asks. folder: of the student."""
    folder.write_text(NAME, f"train-{trainer.train_run_context.run_id}")


def release(folder: Folder) -> None:
    """Take back what the call before asked for, if there was one; nothing where Ray does not know of it."""
    import ray

    if folder.exists(NAME):
        with contextlib.suppress(ValueError, ray.exceptions.RayError):
            coordinator = ray.get_actor(_COORDINATOR, namespace=_COORDINATOR)
            ray.get(coordinator.cancel_request.remote(folder.read_text(NAME)), timeout=_SECONDS)

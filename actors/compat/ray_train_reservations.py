"""Cancel the resource request that a killed training job left in Ray's autoscaling coordinator.

Problem: a running Ray Train job renews its resource request every 20 s, and the coordinator drops a request 180 s after
the last renewal. If a job is killed and started again at once, its elastic scaling policy waits up to three minutes for
nodes that the dead job still reserves. Each job therefore stores its requester ID in the student's folder, and the next
job cancels the request with that ID.

Version: checked with ray==2.60.0.

Private API: the named actor `AutoscalingCoordinator` and its method `cancel_request`, the attribute
`TorchTrainer.train_run_context`, and the requester ID `train-{run_id}`.

Remove when: Ray cancels the request of a training job whose driver has died, or offers a public call that cancels it.
https://github.com/ray-project/ray
"""

from __future__ import annotations

import contextlib
from typing import Any

from ranking.storage.folder import Folder

NAME = "reserved.txt"
"""File in the student's folder with the requester ID of the last training job."""

_COORDINATOR = "AutoscalingCoordinator"
"""Name and namespace of Ray's coordinator actor."""

_TIMEOUT_SECONDS = 10.0


def record(folder: Folder, trainer: Any) -> None:
    """Store the requester ID of a trainer.

    Args:
        folder: Folder of the student.
        trainer: The `TorchTrainer` that is about to run.
    """
    folder.write_text(NAME, f"train-{trainer.train_run_context.run_id}")


def release(folder: Folder) -> None:
    """Cancel the resource request of the previous training job; no-op if there is none or Ray does not know it."""
    import ray

    if folder.exists(NAME):
        with contextlib.suppress(ValueError, ray.exceptions.RayError):
            coordinator = ray.get_actor(_COORDINATOR, namespace=_COORDINATOR)
            ray.get(coordinator.cancel_request.remote(folder.read_text(NAME)), timeout=_TIMEOUT_SECONDS)

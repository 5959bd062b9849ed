"""Cancelling the request of Ray Train's real scaling policy. Ray Core is a fake; tests/system uses a real cluster."""

from types import SimpleNamespace

import pytest
import ray
from ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator import _AutoscalingCoordinatorActor
from ray.train import ScalingConfig
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.execution.scaling_policy import ElasticScalingPolicy

from actors.compat import ray_train_reservations
from ranking.storage.folder import Folder


class Coordinator:
    """Handle of a coordinator actor that records requesters. It has only methods of Ray's actor class."""

    def __init__(self):
        self.requesters = set()

    def __getattr__(self, name):
        getattr(_AutoscalingCoordinatorActor, name)
        calls = {
            "request_resources": lambda requester_id, **_: self.requesters.add(requester_id),
            "cancel_request": lambda requester_id: self.requesters.remove(requester_id),
        }
        return SimpleNamespace(remote=calls[name])


@pytest.fixture
def actors(monkeypatch):
    """Named actors, {(name, namespace): handle}. Ray Core adds each actor that Ray Train creates."""
    named = {}

    def options(name, namespace, **_):
        return SimpleNamespace(remote=lambda: named.setdefault((name, namespace), Coordinator()))

    def get_actor(name, namespace):
        if (name, namespace) not in named:
            raise ValueError("no such actor")
        return named[name, namespace]

    monkeypatch.setattr(ray, "remote", lambda **_: lambda _: SimpleNamespace(options=options))
    monkeypatch.setattr(ray, "get_actor", get_actor)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "0" * 56))
    monkeypatch.setattr(ray, "get", lambda value, timeout: value)
    return named


def test_request_of_the_previous_training_is_cancelled(actors, tmp_path):
    folder = Folder(tmp_path)
    ray_train_reservations.release(folder)
    trainer = TorchTrainer(print, scaling_config=ScalingConfig(num_workers=(1, 2)))
    ray_train_reservations.record(folder, trainer)
    ray_train_reservations.release(folder)  # there is no coordinator yet
    policy = ElasticScalingPolicy(trainer.scaling_config)
    policy.after_controller_start(trainer.train_run_context)
    (coordinator,) = actors.values()
    assert len(coordinator.requesters) == 1
    ray_train_reservations.release(folder)
    assert not coordinator.requesters

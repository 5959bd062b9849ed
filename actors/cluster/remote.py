"""Start Ray actors. Ray's type hints do not cover the methods of actor handles, so handles have the type `Any`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def start_actor(kind: Callable[..., Any], arguments: tuple[Any, ...] = (), **options: Any) -> Any:
    """Start an actor and return its handle.

    Args:
        kind: Class of the actor.
        arguments: Arguments of the class's constructor.
        options: Ray's actor options, such as `num_cpus`.
    """
    import ray

    remote: Any = ray.remote
    return remote(kind).options(**options).remote(*arguments)

"""Fixtures of the tests of actors."""

import pytest
import torch


@pytest.fixture(scope="session")
def process_group(tmp_path_factory):
    """Create a process group of one process. Session scope, because DeepSpeed keeps groups until the process ends."""
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {"DS_ACCELERATOR": "cpu", "RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}.items():
            patched.setenv(name, value)
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{tmp_path_factory.mktemp('group')}/store", rank=0, world_size=1
        )
        yield
        torch.distributed.destroy_process_group()

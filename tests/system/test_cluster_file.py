"""cluster.yaml through the autoscaler's own preparation and validation, as `ray up` does it."""

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.system.facts import ROOT


def cluster():
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def test_the_autoscaler_takes_the_file():
    prepared = prepare_config(cluster())
    validate_config(prepared)
    assert list(prepared["available_node_types"]) == ["head", "cpu_worker", "gpu_worker"]


def test_and_would_not_take_any():
    with pytest.raises(jsonschema.ValidationError):
        validate_config(prepare_config({**cluster(), "max_workers": -1}))

"""cluster.yaml against the autoscaler's own JSON schema, which ships with Ray."""

import importlib.util
import json
from pathlib import Path

import jsonschema
import yaml

ROOT = Path(__file__).parents[2]


def test_cluster_yaml_fits_the_autoscalers_schema():
    spec = importlib.util.find_spec("ray")
    schema = json.loads((Path(spec.origin).parent / "autoscaler" / "ray-schema.json").read_text())
    cluster = yaml.safe_load((ROOT / "cluster.yaml").read_text())
    jsonschema.validate(cluster, schema)
    types = cluster["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    assert types["gpu_worker"]["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert sum(kind.get("max_workers", 0) for kind in types.values()) <= cluster["max_workers"]

"""The engine loads universal checkpoints only within `load`, and the conversion script gets all its arguments."""

import sys
from pathlib import Path

import pytest
from deepspeed import DeepSpeedConfig, DeepSpeedEngine
from deepspeed.checkpoint import ds_to_universal

from actors.compat import deepspeed_universal_checkpoint as universal_checkpoint


class RecordingEngine:
    """Has DeepSpeed's real configuration, and records whether DeepSpeed's engine would load a universal checkpoint."""

    def __init__(self, error=None):
        self._config, self.error, self.loads = DeepSpeedConfig({"train_batch_size": 1}), error, []

    def is_universal(self):
        return DeepSpeedEngine.load_universal_checkpoint(self)

    def load_checkpoint(self, folder, tag):
        self.loads.append((folder, tag, self.is_universal()))
        if self.error:
            raise self.error


def test_engine_loads_a_universal_checkpoint_only_within_load():
    engine = RecordingEngine()
    assert not engine.is_universal()
    universal_checkpoint.load(engine, Path("folder"), "student")
    assert engine.loads == [(Path("folder"), "student", True)]
    assert not engine.is_universal()


def test_failed_load_resets_the_engine():
    engine = RecordingEngine(OSError("disk error"))
    with pytest.raises(OSError, match="disk error"):
        universal_checkpoint.load(engine, Path("folder"), "student")
    assert not engine.is_universal()


def test_conversion_passes_all_arguments_of_the_script(monkeypatch):
    given = []
    monkeypatch.setattr(ds_to_universal, "main", given.append)
    universal_checkpoint.convert(Path("shards"), Path("target"))
    options = ["--num_extract_workers", "1", "--num_merge_workers", "1", "--inject_missing_state"]
    monkeypatch.setattr(sys, "argv", ["script", "--input_folder", "shards", "--output_folder", "target", *options])
    assert given == [ds_to_universal.parse_arguments()]

"""Convert ZeRO shards to DeepSpeed's universal checkpoint format (arXiv 2406.18820) and load them into an engine.

Problem: DeepSpeed loads ZeRO shards only with as many workers as wrote them. Elastic training resumes with a different
number, so the shards are converted first. DeepSpeed offers the conversion as a command-line script only, and reads
whether a checkpoint is universal from the engine's configuration, where it applies to every load.

Version: checked with deepspeed==0.19.8.

Private API: `deepspeed.checkpoint.ds_to_universal.main` with the arguments of the script as a namespace, and the
attribute `engine._config.load_universal_checkpoint`.

Remove when: `load_checkpoint` has an argument for universal checkpoints, or loads shards of another number of workers.
https://github.com/deepspeedai/DeepSpeed
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path
from typing import Any


def convert(shards: Path, target: Path) -> None:
    """Convert ZeRO shards to a universal checkpoint.

    Args:
        shards: Folder of one tag of a checkpoint, with the files of all workers.
        target: Folder to write. Its parent folder is the checkpoint to load, and its name is the tag.
    """
    from deepspeed.checkpoint import ds_to_universal

    with contextlib.redirect_stdout(None):
        ds_to_universal.main(_script_arguments(shards, target))


def load(engine: Any, checkpoint: Path, tag: str) -> None:
    """Load a universal checkpoint into a DeepSpeed engine. Each worker loads its own shard.

    Args:
        engine: The DeepSpeed engine.
        checkpoint: Folder of the universal checkpoint.
        tag: Name of the subfolder with the files.
    """
    engine._config.load_universal_checkpoint = True
    try:
        engine.load_checkpoint(checkpoint, tag=tag)
    finally:
        engine._config.load_universal_checkpoint = False


def _script_arguments(shards: Path, target: Path) -> argparse.Namespace:
    return argparse.Namespace(
        input_folder=str(shards),
        output_folder=str(target),
        num_extract_workers=1,
        num_merge_workers=1,
        keep_temp_folder=False,
        strict=True,
        inject_missing_state=True,
    )

"""A process that promotes versions of its own, one after the other, until all of them were champions; called again, it goes on.

python -m tests.testing.promoter STORAGE NAME COUNT LOG
"""

import sys
import time
from pathlib import Path

from ranking.errors import InputError
from ranking.registry import Registry
from ranking.storage.folder import Folder

PAUSE = 0.5
"""Seconds between promotions, so that all kills fall between the first and the last."""


def main(storage, name, count, log):
    registry, log = Registry(Folder(storage)), Path(log)
    done = set(log.read_text().split()) if log.exists() else set()
    for version in (f"{name}-{number}" for number in range(int(count))):
        model = Folder(log.parent / "models" / version)
        model.write_text("weights", version * 1000)
        time.sleep(PAUSE)
        held = registry.read()
        while version not in done and version not in {change.version for change in (held.history if held else [])}:
            try:
                registry.promote(model, version, name, "in turn")
            except InputError as error:
                if "changed meanwhile" not in str(error):
                    raise
            held = registry.read()
        with log.open("a") as stream:
            stream.write(f"{version}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Promote COUNT versions one after the other. A second run continues with the versions that LOG does not contain.

python -m tests.testing.promoter STORAGE NAME COUNT LOG
"""

import sys
import time
from pathlib import Path

from ranking.errors import InputError
from ranking.registry import Registry
from ranking.storage.folder import Folder

PAUSE_SECONDS = 0.5
"""Pause before each promotion, long enough for the test to kill the process before the last one."""


def promoted_versions(registry):
    """Return all versions in the champion's history."""
    champion = registry.read()
    return {change.version for change in (champion.history if champion else [])}


def main(storage, name, count, log):
    """Promote versions `<name>-0`, `<name>-1` and so on, and append each to the log once it is champion."""
    registry, log = Registry(Folder(storage)), Path(log)
    finished = set(log.read_text().split()) if log.exists() else set()
    for version in (f"{name}-{number}" for number in range(int(count))):
        model = Folder(log.parent / "models" / version)
        model.write_text("weights", version * 1000)
        time.sleep(PAUSE_SECONDS)
        while version not in finished and version not in promoted_versions(registry):
            try:
                registry.promote(model, version, name, "in turn")
            except InputError as error:
                if "changed meanwhile" not in str(error):  # another process changed the champion: try again
                    raise
        with log.open("a") as stream:
            stream.write(f"{version}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])

"""How often an engine died without having answered anything, so that a model that cannot run does not start for ever."""

from __future__ import annotations

import uuid

from ranking.storage import Folder

MOST = 3


class Deaths:
    """Marks on storage, since nothing else outlives the process that an engine takes down with it."""

    def __init__(self, memory: Folder) -> None:
        self.folder = memory / "deaths"
        self.any = self.folder.exists()

    def check(self) -> None:
        """Raise RuntimeError where engines died too often since the last answer."""
        died = len(self.folder.names())
        if died >= MOST:
            raise RuntimeError(f"the vLLM engine died {died} times without an answer; its words are in the logs of Ray's workers")

    def mark(self) -> None:
        """An engine died."""
        self.folder.write_text(uuid.uuid4().hex, "")

    def forget(self) -> None:
        """Lists were answered."""
        if self.any:
            self.folder.delete()
            self.any = False

"""The registry: immutable versions of served models, and which of them is the champion.

<storage>/registry/<version>/   the model folder, never changed once written
<storage>/registry/champion.json   {"champion": version, "history": [...]}, newest last
"""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ranking.errors import InputError
from ranking.storage import Folder

CHAMPION = "champion.json"
REGISTRY = "registry"


class Change(BaseModel):
    """One change of champion."""

    model_config = ConfigDict(extra="forbid")

    version: str
    action: Literal["promote", "rollback"]
    run: str
    reason: str
    at: str


class Champion(BaseModel):
    """The content of champion.json."""

    model_config = ConfigDict(extra="forbid")

    champion: str
    history: list[Change]


class Registry:
    """The registry of one storage root, shared by all its runs."""

    def __init__(self, storage: Folder) -> None:
        self.folder = storage / REGISTRY

    def read(self) -> Champion | None:
        """The champion and its history; None before the first promotion."""
        if not self.folder.exists(CHAMPION):
            return None
        return Champion.model_validate_json(self.folder.read_text(CHAMPION))

    def champion_folder(self) -> tuple[str, Folder]:
        """The champion's version and folder. Raises InputError before the first promotion."""
        held = self.read()
        if held is None:
            raise InputError(f"registry {self.folder.uri}: no champion yet; run ray_jobs.promote first")
        return held.champion, self.folder / held.champion

    def promote(self, model: Folder, version: str, run: str, reason: str) -> Champion:
        """Copy a model folder in under its version and make it the champion; a no-op where it already is.

        A version of the history is whole and stays as it is; another may be left of a copy that was cut off.
        """
        held = self.read()
        if held is not None and held.champion == version:
            return held
        place = self.folder / version
        if held is None or version not in {change.version for change in held.history} or not place.exists():
            place.delete()
            model.copy_to(place)
        return self._change(version, "promote", run, reason)

    def rollback(self, run: str) -> Champion:
        """Make the champion before the present one champion again. Raises InputError where there is none."""
        held = self.read()
        earlier = [change.version for change in held.history if change.version != held.champion] if held else []
        if not earlier:
            raise InputError(f"registry {self.folder.uri}: there is no earlier champion to go back to")
        return self._change(earlier[-1], "rollback", run, "rolled back by hand")

    def _change(self, version: str, action: Literal["promote", "rollback"], run: str, reason: str) -> Champion:
        held = self.read()
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        change = Change(version=version, action=action, run=run, reason=reason, at=now)
        champion = Champion(champion=version, history=[*(held.history if held else []), change])
        self.folder.write_text(CHAMPION, champion.model_dump_json(indent=2))
        return champion

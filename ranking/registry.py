"""The model registry: immutable versions of served models, and a pointer to the current champion.

<storage>/registry/<version>/       model folder, immutable once written; checksums.json lists its files
<storage>/registry/champion.json    {"champion": version, "history": [...]}, oldest change first

The champion is the version that is served. Versions are added atomically, and champion.json is changed by
compare-and-swap. After a crash at any moment the old champion is still in place. If two changes race, one of them fails
with an error.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from ranking.errors import CorruptFileError, InputError
from ranking.records.record import ChecksummedModel, problem_of
from ranking.registry_versions import add_version, sha256_of, verify_checksums
from ranking.storage.checksums import CHECKSUMS
from ranking.storage.folder import PARTIAL, Folder
from ranking.storage.pointer import Pointer, PointerConflictError, PointerContent

CHAMPION = "champion.json"
REGISTRY = "registry"

Action = Literal["promote", "rollback"]


class ChampionChange(BaseModel):
    """One change of the champion.

    Attributes:
        id: Unique id of this change.
        checksum: SHA-256 of the version's checksums.json.
        run: Name of the run that made the change.
        at: Time of the change, ISO 8601 in UTC.
    """

    model_config = ConfigDict(extra="forbid")

    id: str
    version: str
    checksum: str
    action: Action
    run: str
    reason: str
    at: str


class Champion(ChecksummedModel):
    """The content of champion.json."""

    model_config = ConfigDict(extra="forbid")

    champion: str
    history: list[ChampionChange]

    @property
    def checksum(self) -> str:
        """SHA-256 of the current champion's checksums.json."""
        return self.history[-1].checksum

    @property
    def line(self) -> list[ChampionChange]:
        """Promotions that were not rolled back, oldest first. The last one is the champion."""
        promotions: list[ChampionChange] = []
        for change in self.history:
            if change.action == "promote":
                promotions.append(change)
            else:
                promotions.pop()
        return promotions


class Registry:
    """The model registry of one storage root. All runs under that root share it."""

    def __init__(self, storage: Folder) -> None:
        self.folder = storage / REGISTRY
        self._pointer = Pointer(self.folder, CHAMPION)

    def read(self) -> Champion | None:
        """Return the champion and its history, or None before the first promotion.

        Raises:
            InputError: champion.json is not valid.
        """
        return self._parse(self._pointer.read())

    def champion(self) -> tuple[Champion, Folder]:
        """Return the champion and its model folder.

        Raises:
            InputError: There is no champion yet.
        """
        champion = self.read()
        if champion is None:
            raise InputError(f"registry {self.folder.uri}: no champion yet; run ray_jobs.promote first")
        return champion, self.folder / champion.champion

    def versions(self) -> list[str]:
        """List all complete versions, whether or not they were ever champion."""
        return [
            name
            for name in self.folder.names()
            if not name.startswith(PARTIAL) and (self.folder / name).exists(CHECKSUMS)
        ]

    def promote(self, model: Folder, version: str, run: str, reason: str) -> Champion:
        """Add a model folder as a version and make it the champion. If it already is, only repairs its files.

        Raises:
            InputError: The champion changed in the meantime, the version exists with different content, or the model
                folder is damaged.
        """
        current = self._pointer.read()
        champion = self._parse(current)
        checksum = add_version(self.folder, version, model, _promoted_checksum(champion, version))
        if champion is not None and champion.champion == version:
            return champion
        return self._change(current, version, checksum, "promote", run, reason)

    def add(self, model: Folder, version: str) -> None:
        """Add a model folder as a version without changing the champion. If the version exists, repairs its files.

        Raises:
            InputError: The version exists with different content, or the model folder is damaged.
        """
        add_version(self.folder, version, model, _promoted_checksum(self.read(), version))

    def promote_again(self, version: str, run: str) -> Champion:
        """Make an existing version the champion. If it already is, only checks its files.

        Raises:
            InputError: The version does not exist, or its files do not match its checksums.
        """
        current = self._pointer.read()
        champion = self._parse(current)
        checksum = self.checksum_of(version, champion)
        verify_checksums(self.folder / version, checksum)
        if champion is not None and champion.champion == version:
            return champion
        return self._change(current, version, checksum, "promote", run, "chosen by hand")

    def rollback(self, run: str) -> Champion:
        """Make the previous champion the champion again.

        Raises:
            InputError: There is no earlier champion, or its files do not match its checksums.
        """
        current = self._pointer.read()
        champion = self._parse(current)
        line = champion.line if champion else []
        if len(line) < 2:
            raise InputError(f"registry {self.folder.uri}: there is no earlier champion to roll back to")
        verify_checksums(self.folder / line[-2].version, line[-2].checksum)
        return self._change(current, line[-2].version, line[-2].checksum, "rollback", run, "rolled back by hand")

    def _parse(self, current: PointerContent) -> Champion | None:
        """Parse champion.json; None if it does not exist."""
        if current.text is None:
            return None
        try:
            return Champion.model_validate_json(current.text)
        except ValidationError as error:
            raise CorruptFileError(
                f"{self.folder.uri}/{CHAMPION}",
                f"not a valid champion file of this version of the registry: {problem_of(error, current.text)}",
                "restore it, or delete it and promote a version with ray_jobs.promote --to VERSION, which starts a new "
                "history",
            ) from None

    def _change(
        self, current: PointerContent, version: str, checksum: str, action: Action, run: str, reason: str
    ) -> Champion:
        """Append a change to the history and replace champion.json by compare-and-swap.

        Args:
            current: Content of champion.json on which the change is based.
            version: The new champion.
            checksum: SHA-256 of the version's checksums.json.
            action: Kind of change.
            run: Name of the run that makes the change.
            reason: Reason for the change.
        """
        champion = self._parse(current)
        change = ChampionChange(
            id=uuid.uuid4().hex,
            version=version,
            checksum=checksum,
            action=action,
            run=run,
            reason=reason,
            at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        )
        changed = Champion(champion=version, history=[*(champion.history if champion else []), change]).with_checksum()
        try:
            self._pointer.swap(current, changed.to_json())
        except PointerConflictError:
            now = self.read()
            if now is not None and any(entry.id == change.id for entry in now.history):
                return now  # the write succeeded but its response was lost, and another change followed
            by = f"now {now.champion}, by run {now.history[-1].run!r}" if now else "now none"
            raise InputError(
                f"registry {self.folder.uri}: the champion was changed meanwhile ({by}); this call changed nothing, "
                "check the new champion and run it again if still needed"
            ) from None
        return changed

    def checksum_of(self, version: str, champion: Champion | None = None) -> str:
        """Return the SHA-256 of a version's checksums.json, as it was when the version was last promoted.

        Args:
            version: The version.
            champion: Content of champion.json; None to use the current checksums.json.

        Raises:
            InputError: The version does not exist.
        """
        if version not in self.versions():
            known = ", ".join(self.versions()) or "none"
            raise InputError(f"registry {self.folder.uri}: there is no version {version!r}; known versions: {known}")
        return _promoted_checksum(champion, version) or sha256_of((self.folder / version).read_bytes(CHECKSUMS))


def _promoted_checksum(champion: Champion | None, version: str) -> str | None:
    """Return the checksum of a version as recorded in champion.json; None if the version was never promoted."""
    changes = champion.history if champion else []
    return next((change.checksum for change in reversed(changes) if change.version == version), None)

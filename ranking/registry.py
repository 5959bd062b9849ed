"""The model registry: immutable versions of served models, and a pointer to the current champion.

<storage>/registry/<version>/       model folder, immutable once written; checksums.json lists its files
<storage>/registry/champion.json    {"champion": version, "history": [...]}, oldest change first

The champion is the version that is served. Versions are added atomically, and champion.json is changed by
compare-and-swap. After a crash at any moment the old champion is still in place. If two changes race, one of them fails
with an error.
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import shutil
import time
import uuid
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from ranking.errors import InputError
from ranking.storage.folder import PARTIAL, Folder
from ranking.storage.pointer import Pointer, PointerConflictError, PointerContent

CHAMPION = "champion.json"
CHECKSUMS = "checksums.json"
REGISTRY = "registry"
_PARTIAL_MAX_AGE_SECONDS = 24 * 3600
_BLOCK = 2**20

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


class Champion(BaseModel):
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
        """Add a model folder as a version and make it the champion. A no-op if it already is the champion.

        Raises:
            InputError: The champion changed in the meantime, or the version exists with different content.
        """
        current = self._pointer.read()
        champion = self._parse(current)
        checksum = self._add(model, version)
        if champion is not None and champion.champion == version:
            return champion
        return self._change(current, version, checksum, "promote", run, reason)

    def add(self, model: Folder, version: str) -> None:
        """Add a model folder as a version without changing the champion. A no-op if the version exists.

        Raises:
            InputError: The version exists with different content.
        """
        self._add(model, version)

    def promote_again(self, version: str, run: str) -> Champion:
        """Make an existing version the champion. A no-op if it already is the champion.

        Raises:
            InputError: The version does not exist, or its files do not match its checksums.
        """
        current = self._pointer.read()
        champion = self._parse(current)
        if champion is not None and champion.champion == version:
            return champion
        checksum = self.checksum_of(version)
        check_whole(self.folder / version, checksum)
        return self._change(current, version, checksum, "promote", run, "chosen by hand")

    def rollback(self, run: str) -> Champion:
        """Make the previous champion the champion again.

        Raises:
            InputError: There is no earlier champion.
        """
        current = self._pointer.read()
        champion = self._parse(current)
        line = champion.line if champion else []
        if len(line) < 2:
            raise InputError(f"registry {self.folder.uri}: there is no earlier champion to roll back to")
        return self._change(current, line[-2].version, line[-2].checksum, "rollback", run, "rolled back by hand")

    def _parse(self, current: PointerContent) -> Champion | None:
        """Parse champion.json; None if it does not exist."""
        if current.text is None:
            return None
        try:
            return Champion.model_validate_json(current.text)
        except ValueError as error:
            first = " ".join(str(error).split())[:160]
            raise InputError(
                f"{self.folder.uri}/{CHAMPION}: not a valid champion file of this version of the registry ({first})"
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
        changed = Champion(champion=version, history=[*(champion.history if champion else []), change])
        try:
            self._pointer.swap(current, changed.model_dump_json(indent=2))
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

    def _add(self, model: Folder, version: str) -> str:
        """Add a model folder atomically as a version, and return the SHA-256 of its checksums.json."""
        sums = json.dumps(checksums_of(model), indent=2, sort_keys=True)
        target = self.folder / version
        if not target.exists(CHECKSUMS):
            if self.folder.is_local:
                self._add_local(model, target, sums)
            else:
                self._add_remote(model, target, sums)
        if target.read_text(CHECKSUMS) != sums:
            raise InputError(
                f"{target.uri}: this version exists with different content, and versions are immutable; choose another "
                "version name"
            )
        checksum = _sha256(sums.encode("utf-8"))
        if not self.folder.is_local and checksums_of(target) != json.loads(sums):
            model.copy_to(target)  # an earlier copy of the same content was interrupted
            check_whole(target, checksum)
        return checksum

    def _add_remote(self, model: Folder, target: Folder, sums: str) -> None:
        """Add a version in an object store: claim its name by writing checksums.json, then copy the model's files.

        A concurrent writer with different content sees the claim and fails.
        """
        try:
            Pointer(target, CHECKSUMS).swap(PointerContent(), sums)
        except PointerConflictError:
            return
        for name in checksums_of(target).keys() - json.loads(sums).keys():
            target.remove(name)  # a leftover file that was never part of a version
        model.copy_to(target)

    def _add_local(self, model: Folder, target: Folder, sums: str) -> None:
        """Add a version on a local disk: copy the model to a temporary folder, then rename that folder."""
        self._delete_stale_copies()
        copy = self.folder / f"{PARTIAL}{uuid.uuid4().hex}"
        model.copy_to(copy)
        copy.write_text(CHECKSUMS, sums)
        try:
            Path(copy.path).rename(target.path)
        except OSError:  # the folder exists: perhaps the same version, added by another process meanwhile
            copy.delete()
            if not target.exists(CHECKSUMS):
                raise InputError(
                    f"{target.uri}: exists but is not a registry version ({CHECKSUMS} is missing); move it away"
                ) from None

    def _delete_stale_copies(self) -> None:
        """Delete temporary copies that are older than a day, left by interrupted writes."""
        for name in self.folder.names():
            path = Path(self.folder.path) / name
            with contextlib.suppress(FileNotFoundError):  # another process has just renamed it
                if name.startswith(PARTIAL) and time.time() - path.stat().st_mtime > _PARTIAL_MAX_AGE_SECONDS:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def checksum_of(self, version: str) -> str:
        """Return the SHA-256 of a version's checksums.json.

        Raises:
            InputError: The version does not exist.
        """
        if version not in self.versions():
            known = ", ".join(self.versions()) or "none"
            raise InputError(f"registry {self.folder.uri}: there is no version {version!r}; known versions: {known}")
        return _sha256((self.folder / version).read_text(CHECKSUMS).encode("utf-8"))


def checksums_of(model: Folder) -> dict[str, str]:
    """Return {file name: SHA-256} for all files of a model folder except checksums.json."""
    sums = {}
    for name, _, _ in model.inventory():
        name = name.lstrip("/")
        if name == CHECKSUMS:
            continue
        digest = hashlib.sha256()
        with model.open(name) as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        sums[name] = digest.hexdigest()
    return sums


def check_whole(model: Folder, checksum: str) -> None:
    """Check that a version's files are the ones that were promoted.

    Args:
        model: Folder of the version.
        checksum: SHA-256 of checksums.json, as recorded in champion.json.

    Raises:
        InputError: A file is missing, added or changed.
    """
    sums = model.read_text(CHECKSUMS) if model.exists(CHECKSUMS) else ""
    if _sha256(sums.encode("utf-8")) != checksum:
        raise InputError(
            f"{model.uri}/{CHECKSUMS}: missing, or changed since the version was promoted; roll back, or promote "
            "another version"
        )
    expected, actual = json.loads(sums), checksums_of(model)
    wrong = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
    if wrong:
        raise InputError(
            f"{model.uri}/{wrong[0]}: not the file that was promoted ({len(wrong)} differ); roll back, or promote "
            "another version"
        )


def _sha256(data: bytes) -> str:
    """Return the SHA-256 of data in hexadecimal."""
    return hashlib.sha256(data).hexdigest()

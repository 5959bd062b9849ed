"""The registry: immutable versions of served models, and which of them is the champion.

<storage>/registry/<version>/       the model folder, never changed once written; checksums.json names its files
<storage>/registry/champion.json    {"champion": version, "history": [...]}, newest last

A version appears whole or not at all, and champion.json changes by compare-and-swap: a crash at any moment leaves the
old champion, and of two changes at once one is an error.
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
_LEFT_BEHIND_AFTER = 24 * 3600
_BLOCK = 2**20

Action = Literal["promote", "rollback"]


class ChampionChange(BaseModel):
    """One change of champion. id: of this change alone. checksum: SHA-256 of the version's checksums.json."""

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
        """The champion's."""
        return self.history[-1].checksum

    @property
    def line(self) -> list[ChampionChange]:
        """Promotions that were not rolled back, the champion's last."""
        kept: list[ChampionChange] = []
        for change in self.history:
            if change.action == "promote":
                kept.append(change)
            else:
                kept.pop()
        return kept


class Registry:
    """The registry of one storage root, shared by all its runs."""

    def __init__(self, storage: Folder) -> None:
        self.folder = storage / REGISTRY
        self._pointer = Pointer(self.folder, CHAMPION)

    def read(self) -> Champion | None:
        """The champion and its history; None before the first promotion. Raises InputError for a file that is no such thing."""
        return self._parsed(self._pointer.read())

    def champion(self) -> tuple[Champion, Folder]:
        """The champion and its folder. Raises InputError before the first promotion."""
        held = self.read()
        if held is None:
            raise InputError(f"registry {self.folder.uri}: no champion yet; run ray_jobs.promote first")
        return held, self.folder / held.champion

    def versions(self) -> list[str]:
        """All versions, champions and others."""
        return [
            name
            for name in self.folder.names()
            if not name.startswith(PARTIAL) and (self.folder / name).exists(CHECKSUMS)
        ]

    def promote(self, model: Folder, version: str, run: str, reason: str) -> Champion:
        """Copy a model folder in under its version and make it the champion; a no-op where it already is.

        Raises InputError where another change came between, or the version is there with another content.
        """
        held = self._pointer.read()
        champion = self._parsed(held)
        checksum = self._add(model, version)
        if champion is not None and champion.champion == version:
            return champion
        return self._change(held, version, checksum, "promote", run, reason)

    def add(self, model: Folder, version: str) -> None:
        """Copy a model folder in under its version, and leave the champion as it is; a no-op where it is there.

        Raises InputError where the version is there with another content.
        """
        self._add(model, version)

    def promote_again(self, version: str, run: str) -> Champion:
        """Make a version champion that is here already; a no-op where it is. Raises InputError where it is not here, or not whole."""
        held = self._pointer.read()
        champion = self._parsed(held)
        if champion is not None and champion.champion == version:
            return champion
        checksum = self.checksum_of(version)
        check_whole(self.folder / version, checksum)
        return self._change(held, version, checksum, "promote", run, "chosen by hand")

    def rollback(self, run: str) -> Champion:
        """Make the champion before the present one champion again. Raises InputError where there is none."""
        held = self._pointer.read()
        champion = self._parsed(held)
        line = champion.line if champion else []
        if len(line) < 2:
            raise InputError(f"registry {self.folder.uri}: there is no earlier champion to go back to")
        return self._change(held, line[-2].version, line[-2].checksum, "rollback", run, "rolled back by hand")

    def _parsed(self, held: PointerContent) -> Champion | None:
        if held.text is None:
            return None
        try:
            return Champion.model_validate_json(held.text)
        except ValueError as error:
            first = " ".join(str(error).split())[:160]
            raise InputError(
                f"{self.folder.uri}/{CHAMPION}: is not what this version of the registry writes ({first})"
            ) from None

    def _change(
        self, held: PointerContent, version: str, checksum: str, action: Action, run: str, reason: str
    ) -> Champion:
        champion = self._parsed(held)
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
            self._pointer.swap(held, changed.model_dump_json(indent=2))
        except PointerConflictError:
            now = self.read()
            if now is not None and any(held.id == change.id for held in now.history):
                return now  # it was written, the answer to that was lost, and another change has followed
            by = f"{now.champion}, by run {now.history[-1].run!r}" if now else "none"
            raise InputError(
                f"registry {self.folder.uri}: the champion was changed meanwhile (it is {by}); nothing was changed by this call, look and "
                "call again if it is still to be"
            ) from None
        return changed

    def _add(self, model: Folder, version: str) -> str:
        """Bring a model folder in, whole or not at all; returns its checksum."""
        sums = json.dumps(checksums_of(model), indent=2, sort_keys=True)
        place = self.folder / version
        if not place.exists(CHECKSUMS):
            if self.folder.is_local:
                self._add_local(model, place, sums)
            else:
                self._add_remote(model, place, sums)
        if place.read_text(CHECKSUMS) != sums:
            raise InputError(
                f"{place.uri}: this version is there with another content, and a version never changes; name it anew"
            )
        checksum = _sha256(sums.encode("utf-8"))
        if not self.folder.is_local and checksums_of(place) != json.loads(sums):
            model.copy_to(place)  # a copy of the same content was cut off
            check_whole(place, checksum)
        return checksum

    def _add_remote(self, model: Folder, place: Folder, sums: str) -> None:
        """Claim the version with its checksums, then copy: whoever brings another content sees the claim and leaves."""
        try:
            Pointer(place, CHECKSUMS).swap(PointerContent(), sums)
        except PointerConflictError:
            return
        for name in checksums_of(place).keys() - json.loads(sums).keys():
            place.remove(name)  # of something that was never a version
        model.copy_to(place)

    def _add_local(self, model: Folder, place: Folder, sums: str) -> None:
        self._sweep()
        copy = self.folder / f"{PARTIAL}{uuid.uuid4().hex}"
        model.copy_to(copy)
        copy.write_text(CHECKSUMS, sums)
        try:
            Path(copy.path).rename(place.path)
        except OSError:  # something is there already: the same version, if somebody else brought it in meanwhile
            copy.delete()
            if not place.exists(CHECKSUMS):
                raise InputError(
                    f"{place.uri}: is there and is no version of the registry ({CHECKSUMS} is missing); move it away"
                ) from None

    def _sweep(self) -> None:
        """Delete copies that were cut off a day ago or longer."""
        for name in self.folder.names():
            path = Path(self.folder.path) / name
            with contextlib.suppress(FileNotFoundError):  # its process has just brought it to its place
                if name.startswith(PARTIAL) and time.time() - path.stat().st_mtime > _LEFT_BEHIND_AFTER:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def checksum_of(self, version: str) -> str:
        """The checksum of a version. Raises InputError for one that is not there."""
        if version not in self.versions():
            known = ", ".join(self.versions()) or "none"
            raise InputError(f"registry {self.folder.uri}: there is no version {version!r}; there are {known}")
        return _sha256((self.folder / version).read_text(CHECKSUMS).encode("utf-8"))


def checksums_of(model: Folder) -> dict[str, str]:
    """SHA-256 of every file of a model folder, by its name."""
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
    """Raise InputError where a version's files are not those that were promoted. checksum: as champion.json has it."""
    sums = model.read_text(CHECKSUMS) if model.exists(CHECKSUMS) else ""
    if _sha256(sums.encode("utf-8")) != checksum:
        raise InputError(
            f"{model.uri}/{CHECKSUMS}: is missing or was changed since the version was promoted; roll back, or promote anew"
        )
    expected, found = json.loads(sums), checksums_of(model)
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        raise InputError(
            f"{model.uri}/{wrong[0]}: is not the file that was promoted ({len(wrong)} differ); roll back, or promote anew"
        )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()

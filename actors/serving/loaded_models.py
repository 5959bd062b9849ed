"""The models of a scorer replica: the champion, followed as the registry changes, and perhaps a challenger."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from actors.scoring.scorers import load_champion
from ranking.errors import InputError
from ranking.registry import Registry
from ranking.storage.folder import Folder
from students.scoring import Scorer

Role = Literal["champion", "challenger"]
_LONGEST_WAIT = 60.0
_DOUBLED = 10
_WARM_UP = ("a query to warm up with", "word ")
_log = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class ServedVersion:
    """A version of the registry, loaded."""

    version: str
    scorer: Scorer


class LoadedModels:
    """Holds what is served. A new champion is loaded and warmed up beside the old one, and takes over at once."""

    def __init__(
        self, storage: Folder, challenger: str | None, every: float, told: Callable[[str, Exception | None], None]
    ) -> None:
        """every: seconds between looks at the registry. told: is called with each version that was loaded, or why it was not.

        Where the champion cannot be loaded, the one before it serves until that changes: a replica that starts while a bad version
        is champion does no worse than those that were there before.

        Raises InputError where there is no champion, none that was ever one can be loaded, or the challenger cannot.
        """
        self._registry = Registry(storage)
        self._told = told
        self._served: dict[Role, ServedVersion] = {"champion": self._first()}
        if challenger is not None:
            self._served["challenger"] = self._load(challenger, self._registry.checksum_of(challenger))
        self._every = every
        threading.Thread(target=self._follow, name="champion", daemon=True).start()

    def of(self, role: Role) -> ServedVersion:
        """What is served now; the champion where there is no challenger."""
        return self._served.get(role) or self._served["champion"]

    def versions(self) -> dict[Role, str]:
        """The versions that are loaded."""
        return {role: served.version for role, served in self._served.items()}

    @property
    def are_one(self) -> bool:
        """Whether the challenger has become the champion, so that there is nothing to compare."""
        return "challenger" in self._served and self._served["challenger"].version == self._served["champion"].version

    def _first(self) -> ServedVersion:
        champion, _ = self._registry.champion()
        versions = {change.version: change.checksum for change in reversed(champion.line)}
        told = None
        for version, checksum in versions.items():
            try:
                return self._load(version, checksum)
            except Exception as error:  # whatever it is, an earlier champion is better than none
                told = told or error
                self._failed(version, error)
        assert told is not None
        raise told

    def _failed(self, version: str, error: Exception) -> None:
        _log.error("the registry's champion cannot be served, the one before goes on: %s", error)
        self._told(version, error)

    def _follow(self) -> None:
        wanted, failures = "", 0
        while True:
            time.sleep(min(self._every * 2 ** min(failures, _DOUBLED), max(self._every, _LONGEST_WAIT)))
            try:
                champion = self._registry.read()
                if champion is None or champion.champion == self._served["champion"].version:
                    failures = 0
                    continue
                wanted = champion.champion
                self._served = {**self._served, "champion": self._load(wanted, champion.checksum)}
                failures = 0
                if self.are_one:
                    _log.warning("version %s is champion and challenger: no experiment goes on", wanted)
            except (
                Exception
            ) as error:  # whatever it is, the old champion goes on, and the new one is tried again, less and less often
                failures += 1
                self._failed(wanted, error)

    def _load(self, version: str, checksum: str) -> ServedVersion:
        try:
            scorer = load_champion(self._registry.folder / version, checksum)
        except InputError as error:
            raise InputError(f"version {version}: {error}") from None
        query, word = _WARM_UP
        scorer.score([(query, word * length) for length in range(4, scorer.max_length, 8)])
        self._told(version, None)
        return ServedVersion(version, scorer)

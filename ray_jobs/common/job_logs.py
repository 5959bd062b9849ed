"""Log files of a job: logs/driver.log, one JSON object per line with run and stage, and the output of native code."""

from __future__ import annotations

import datetime
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path

from ranking.terminal_text import printable_json

NAMES = ("rradistill", "py.warnings", "ray", "ray.data", "ray.train", "ray.serve", "ray.llm", "vllm", "httpx")


class JsonLines(logging.Formatter):
    """Format a log record as JSON: {"at", "level", "logger", "run", "stage", "message"}, and "trace" for exceptions."""

    def __init__(self, run: str, stage: Callable[[], str | None]) -> None:
        """Initialise the formatter.

        Args:
            run: Name of the run.
            stage: Function that returns the name of the current stage; None between stages.
        """
        super().__init__()
        self._run, self._stage = run, stage

    def format(self, record: logging.LogRecord) -> str:
        """Format a record on one line."""
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
        return printable_json(json.dumps(line, ensure_ascii=False))


class JobLogs:
    """The log files of a job, in a local folder."""

    def __init__(self, folder: Path, run: str, stage: Callable[[], str | None]) -> None:
        """Initialise the log files. Nothing is written yet.

        Args:
            folder: Local folder of the files.
            run: Name of the run.
            stage: Function that returns the name of the current stage; None between stages.
        """
        self.folder, self._formatter = folder, JsonLines(run, stage)

    def redirect_output(self) -> None:
        """Redirect the output of native code and Ray to driver.err and driver.out.

        Python's own sys.stderr and the job's console still write to the terminal.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        _redirect_native_stderr(self.folder / "driver.err")
        # Ray prints warnings to sys.stdout; the job's console still has a reference to the original sys.stdout
        sys.stdout = (self.folder / "driver.out").open("a", buffering=1)
        self.attach_handlers()

    def attach_handlers(self) -> None:
        """Make all loggers write to driver.log. Call this again after a part of Ray starts and adds handlers."""
        handler = logging.FileHandler(self.folder / "driver.log", encoding="utf-8")
        handler.setFormatter(self._formatter)
        handler.setLevel(logging.INFO)
        logging.captureWarnings(True)
        for name in NAMES:
            logger = logging.getLogger(name)
            for previous in list(logger.handlers):
                if isinstance(previous, logging.FileHandler):
                    previous.close()
            logger.handlers = [handler]
            logger.propagate = False
        logging.getLogger("rradistill").setLevel(logging.INFO)


def _redirect_native_stderr(path: Path) -> None:
    """Redirect file descriptor 2 to a file. Python's sys.stderr continues to write to the original stream."""
    if sys.stderr.fileno() == 2:
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
        with path.open("ab") as stream:
            os.dup2(stream.fileno(), 2)

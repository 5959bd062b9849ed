"""Read the state of labelling from storage and check its invariants."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ranking.errors import CorruptFileError
from ranking.runs.stages import MANIFEST, REJECTED, Manifest
from ranking.storage.folder import Folder

STAGE = "labels"


@dataclass
class StorageSnapshot:
    """State of labelling on storage.

    Attributes:
        labels: {query_id: labels without their usage, as JSON}. Duplicate rows appear more than once.
        rejected: Number of rejections per query in the labels stage.
        answers: Number of entries per answer in the teacher's response cache.
        torn: Names of unreadable parts.
        partials: Number of files that are still being written or were abandoned.
    """

    labels: dict[str, list[str]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    torn: list[str] = field(default_factory=list)
    partials: int = 0

    @property
    def done(self) -> set[str]:
        """IDs of queries with a label or a rejection."""
        return {*self.labels, *self.rejected}

    @property
    def doubled(self) -> int:
        """Number of labels and rejections beyond the first of each query."""
        return sum(map(len, self.labels.values())) + self.rejected.total() - len(self.done)

    @property
    def paid_twice(self) -> int:
        """Number of duplicate answers in the response cache."""
        return self.answers.total() - len(self.answers)


def take_snapshot(run: Folder) -> StorageSnapshot:
    """Read everything that labelling has written so far. The run may still be writing."""
    snapshot = StorageSnapshot()
    for row in _rows(run / STAGE, snapshot):
        snapshot.labels.setdefault(row["query_id"], []).append(content_of(row))
    for row in _rows(run / REJECTED, snapshot, f"{STAGE}-"):
        snapshot.rejected[row["query_id"]] += 1
    for name in (run / "teacher").names():
        for row in _rows(run / "teacher" / name, snapshot):
            if row["error"] is None:  # requests that failed in the engine are retried and cost no answer
                snapshot.answers[row["list_id"], row["number"], row["step"], row["attempt"]] += 1
    snapshot.partials = sum(path.rpartition("/")[2].startswith(".partial-") for path, _, _ in run.inventory())
    return snapshot


def count_labels(run: Folder) -> int:
    """Return the number of rows in labels/, from the Parquet footers."""
    return sum((run / STAGE).count_rows(name) for name in (run / STAGE).names(".parquet"))


def answer_parts(run: Folder) -> set[str]:
    """Return the names of the response cache's parts."""
    return {
        f"{name}/{part}" for name in (run / "teacher").names() for part in (run / "teacher" / name).names(".parquet")
    }


def seconds_unwritten(run: Folder) -> float:
    """Return the seconds since the last write to the response cache; 0 if it is empty."""
    changed = [nanoseconds for _, _, nanoseconds in (run / "teacher").inventory()]
    return max(0.0, time.time() - max(changed) / 1e9) if changed else 0.0


def content_of(label: dict[str, Any]) -> str:
    """Return a label without its usage, as JSON."""
    return json.dumps({name: value for name, value in label.items() if name != "usage"}, sort_keys=True)


def violations_at_any_time(now: StorageSnapshot, before: StorageSnapshot, queries: set[str]) -> list[str]:
    """Check the invariants that are true at any time.

    Args:
        now: Current snapshot.
        before: Previous snapshot.
        queries: IDs of all input queries.

    Returns:
        One message per violation.
    """
    return [
        *(f"unreadable part: {name}" for name in now.torn),
        *_per_query("label lost since the previous check", before.labels.keys() - now.labels.keys()),
        *_per_query("different labels", (query for query, rows in now.labels.items() if len(set(rows)) > 1)),
        *_per_query("not an input query", now.done - queries),
    ]


def violations_at_end(now: StorageSnapshot, queries: set[str], manifest: Manifest) -> list[str]:
    """Check the invariants that are true once labelling has ended.

    Args:
        now: Current snapshot.
        queries: IDs of all input queries.
        manifest: Manifest of the labels stage.

    Returns:
        One message per violation.
    """
    counts = (manifest.rows_in, manifest.rows_out, manifest.rejected)
    stored = (len(queries), sum(map(len, now.labels.values())), now.rejected.total())
    return [
        *_per_query("neither labelled nor rejected", queries - now.done),
        *_per_query("labelled twice", (query for query, rows in now.labels.items() if len(rows) > 1)),
        *_per_query("rejected twice", (query for query, count in now.rejected.items() if count > 1)),
        *_per_query("labelled and rejected", now.labels.keys() & now.rejected.keys()),
        *([] if counts == stored else [f"queries, labels, rejections: {counts} in the manifest, {stored} on storage"]),
    ]


def differences(undisturbed: StorageSnapshot, now: StorageSnapshot) -> list[str]:
    """List differences from the same run without faults. Missing rejections are not differences."""
    return [
        *_per_query(
            "label differs from the undisturbed run",
            (query for query in undisturbed.labels if now.labels.get(query) != undisturbed.labels[query]),
        ),
        *_per_query("rejected, but not in the undisturbed run", now.rejected.keys() - undisturbed.rejected.keys()),
    ]


def manifest_of(run: Folder) -> Manifest:
    """Read the manifest of the labels stage."""
    return Manifest.model_validate_json((run / STAGE).read_text(MANIFEST))


def _rows(folder: Folder, snapshot: StorageSnapshot, prefix: str = "") -> Iterable[dict[str, Any]]:
    for name in folder.names(".parquet"):
        if name.startswith(prefix):
            rows = _read(lambda name=name: folder.read_table(name).to_pylist())
            if rows is None:
                snapshot.torn.append(name)
            else:
                yield from rows


def _read(read: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]] | None:
    """Read rows; returns None for an invalid Parquet file and no rows for a file that was deleted meanwhile."""
    try:
        return read()
    except FileNotFoundError:
        return []
    except (CorruptFileError, OSError):
        return None


def _per_query(message: str, queries: Iterable[str]) -> list[str]:
    return [f"{message}: {query}" for query in sorted(queries)]

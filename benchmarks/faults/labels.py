"""What lies on storage at one moment, and what may never be seen there."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ranking.runs.stages import MANIFEST, REJECTED, Manifest
from ranking.storage.folder import Folder

STAGE = "labels"


@dataclass
class StorageSnapshot:
    """Storage at one moment. labels: contents by query, without what they cost; a row written twice stands twice.

    rejected: rows by query, of the labels stage. answers: how often the teacher's memory holds each answer.
    torn: parts that cannot be read. partials: files that were begun and not finished.
    """

    labels: dict[str, list[str]] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    answers: Counter[tuple[Any, ...]] = field(default_factory=Counter)
    torn: list[str] = field(default_factory=list)
    partials: int = 0

    @property
    def done(self) -> set[str]:
        """Queries with a label or a rejection."""
        return {*self.labels, *self.rejected}

    @property
    def doubled(self) -> int:
        """Rows beyond the first of a query, labels and rejections together."""
        return sum(map(len, self.labels.values())) + self.rejected.total() - len(self.done)

    @property
    def paid_twice(self) -> int:
        """Answers that the teacher's memory holds more than once."""
        return self.answers.total() - len(self.answers)


def look(run: Folder) -> StorageSnapshot:
    """Read all that labelling has written so far; part by part, while it is being written."""
    sight = StorageSnapshot()
    for row in _rows(run / STAGE, sight):
        sight.labels.setdefault(row["query_id"], []).append(content_of(row))
    for row in _rows(run / REJECTED, sight, f"{STAGE}-"):
        sight.rejected[row["query_id"]] += 1
    for name in (run / "teacher").names():
        for row in _rows(run / "teacher" / name, sight):
            if row["error"] is None:  # what failed in the engine costs no answer, and is asked again on purpose
                sight.answers[row["list_id"], row["number"], row["step"], row["attempt"]] += 1
    sight.partials = sum(path.rpartition("/")[2].startswith(".partial-") for path, _, _ in run.inventory())
    return sight


def labelled(run: Folder) -> int:
    """How many rows labels/ holds, by the footers of its parts."""
    return sum((run / STAGE).count_rows(name) for name in (run / STAGE).names(".parquet"))


def answer_parts(run: Folder) -> set[str]:
    """The parts of the teacher's memory."""
    return {
        f"{name}/{part}" for name in (run / "teacher").names() for part in (run / "teacher" / name).names(".parquet")
    }


def seconds_unwritten(run: Folder) -> float:
    """Seconds since the last part of the teacher's memory was written; 0 where there is none."""
    changed = [nanoseconds for _, _, nanoseconds in (run / "teacher").inventory()]
    return max(0.0, time.time() - max(changed) / 1e9) if changed else 0.0


def content_of(label: dict[str, Any]) -> str:
    """A label without what it cost."""
    return json.dumps({name: value for name, value in label.items() if name != "usage"}, sort_keys=True)


def wrong_at_any_moment(now: StorageSnapshot, before: StorageSnapshot, queries: set[str]) -> list[str]:
    """What may be at no moment. before: an earlier look. queries: all that went in."""
    return [
        *(f"part cannot be read: {name}" for name in now.torn),
        *_each("label lost since the last look", before.labels.keys() - now.labels.keys()),
        *_each("labelled in two ways", (query for query, rows in now.labels.items() if len(set(rows)) > 1)),
        *_each("nobody asked for", now.done - queries),
    ]


def wrong_at_the_end(now: StorageSnapshot, queries: set[str], manifest: Manifest) -> list[str]:
    """What may not be once the job has ended."""
    counted = (manifest.rows_in, manifest.rows_out, manifest.rejected)
    there = (len(queries), sum(map(len, now.labels.values())), now.rejected.total())
    return [
        *_each("neither labelled nor rejected", queries - now.done),
        *_each("labelled twice", (query for query, rows in now.labels.items() if len(rows) > 1)),
        *_each("rejected twice", (query for query, times in now.rejected.items() if times > 1)),
        *_each("labelled and rejected", now.labels.keys() & now.rejected.keys()),
        *([] if counted == there else [f"the manifest counts {counted}, storage holds {there}"]),
    ]


def other_than(calm: StorageSnapshot, now: StorageSnapshot) -> list[str]:
    """Where a run ended otherwise than the same run undisturbed."""
    return [
        *_each(
            "another label than undisturbed",
            (query for query in calm.labels if now.labels.get(query) != calm.labels[query]),
        ),
        *_each("rejected, and not when undisturbed", now.rejected.keys() - calm.rejected.keys()),
    ]


def manifest_of(run: Folder) -> Manifest:
    return Manifest.model_validate_json((run / STAGE).read_text(MANIFEST))


def _rows(folder: Folder, sight: StorageSnapshot, prefix: str = "") -> Iterable[dict[str, Any]]:
    for name in folder.names(".parquet"):
        if name.startswith(prefix):
            rows = _read(lambda name=name: folder.read_table(name).to_pylist())
            if rows is None:
                sight.torn.append(name)
            else:
                yield from rows


def _read(read: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]] | None:
    """None for a file that is no whole parquet; nothing for one that was taken away meanwhile."""
    try:
        return read()
    except FileNotFoundError:
        return []
    except (pa.ArrowInvalid, OSError):
        return None


def _each(what: str, queries: Iterable[str]) -> list[str]:
    return [f"{what}: {query}" for query in sorted(queries)]

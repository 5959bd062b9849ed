"""Traffic between the champion and a challenger, and what is recorded of it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from actors.serving.events import EventLog, local_journals
from actors.serving.loaded_models import Role
from actors.serving.reranker import ScoredRequest
from actors.serving.schemas import Feedback, order_of
from actors.serving.service_metrics import IngressMetrics
from actors.serving.settings import ServingSettings
from ranking.ab_test.arm_assignment import Arm, hash_of, place_of, team_draft
from ranking.ab_test.exposure_records import EXPOSURES, FEEDBACK, SERVING, Exposure, FeedbackEvent
from ranking.storage.folder import Folder

MOST_SHADOWS = 4
"""Requests that a challenger scores afterwards at once, in time that nobody else wants; more are dropped."""


@dataclass(frozen=True)
class TrafficPlan:
    """How a request is answered. roles: who scores it. key: the caller's, None outside an experiment."""

    arm: Arm
    roles: tuple[Role, ...]
    key: str | None = None
    shadowed: bool = False


@dataclass(frozen=True)
class ShownRanking:
    """An answer: the order of the documents, and for each of them the score that it is shown with."""

    order: list[int]
    scores: list[float]
    version: str
    arm: Arm | None = None
    exposure_id: str | None = None
    teams: list[str] | None = None


class Traffic:
    """Divides keys, shows, and records; one in each ingress replica."""

    def __init__(self, settings: ServingSettings, storage: Folder, metrics: IngressMetrics) -> None:
        self._settings, self._metrics = settings.traffic, metrics
        self._record = settings.record
        self._shadows: dict[asyncio.Task[None], Exposure] = {}
        self._seconds = settings.limits.timeout_seconds
        self._exposures: EventLog[Exposure] | None = None
        self._feedback: EventLog[FeedbackEvent] | None = None
        if settings.record.exposures:
            place, journals = storage / SERVING, local_journals(storage)
            bounds = (settings.record.max_rows_per_file, settings.record.flush_seconds)
            self._exposures = EventLog(Exposure, place / EXPOSURES, journals / EXPOSURES, *bounds)
            self._feedback = EventLog(FeedbackEvent, place / FEEDBACK, journals / FEEDBACK, *bounds)

    def plan(self, key: str | None, are_one: bool = False) -> TrafficPlan:
        """Decide by the caller's key who answers. are_one: the challenger is the champion by now, so that nothing is to be learned."""
        settings = self._settings
        if settings.challenger is not None and are_one:
            return TrafficPlan("champion", ("champion",))
        if key is None or settings.challenger is None:
            return TrafficPlan("champion", ("champion",), key)
        inside = place_of(key, settings.experiment) < settings.share
        if settings.mode == "shadow":
            return TrafficPlan("champion", ("champion",), key, shadowed=inside)
        if not inside:
            return TrafficPlan("champion", ("champion",), key)
        if settings.mode == "interleave":
            return TrafficPlan("interleaved", ("champion", "challenger"), key)
        return TrafficPlan("challenger", ("challenger",), key)

    def show(self, plan: TrafficPlan, scored: Sequence[ScoredRequest], top_n: int | None) -> ShownRanking:
        """Make the answer; within an experiment, or where answers are recorded, it has an id of its own."""
        named = plan.key is not None and (self._settings.challenger is not None or self._exposures is not None)
        exposure_id = str(uuid.uuid4()) if named else None
        arm = plan.arm if named else None
        first = scored[0]
        if len(scored) == 1:
            return ShownRanking(order_of(first.scores, top_n), first.scores, first.version, arm, exposure_id)
        order, teams = team_draft(order_of(first.scores), order_of(scored[1].scores), exposure_id or "")
        by_team = {"champion": first.scores, "challenger": scored[1].scores}
        scores = list(first.scores)
        for place, team in zip(order, teams, strict=True):
            scores[place] = by_team[team][place]
        version = f"{first.version}+{scored[1].version}"
        return ShownRanking(order[:top_n], scores, version, arm, exposure_id, list(teams[:top_n]))

    def record(
        self,
        plan: TrafficPlan,
        shown: ShownRanking,
        query: str,
        ids: Sequence[str],
        shadow: Callable[[], Awaitable[ScoredRequest]],
    ) -> None:
        """Write down an answer that has an id, and have the challenger score it afterwards where the plan says so."""
        if plan.key is None or shown.exposure_id is None:
            return
        settings = self._settings
        self._metrics.exposed(settings.experiment, plan.arm, shown.version)
        row = Exposure(
            exposure_id=shown.exposure_id,
            at=time.time(),
            experiment=settings.experiment,
            mode=settings.mode,
            arm=plan.arm,
            version=shown.version,
            key=hash_of(plan.key),
            query=query if self._record.queries == "text" else hash_of(query),
            shown=[ids[place] for place in shown.order],
            share=settings.share if settings.challenger is not None and settings.mode != "shadow" else None,
            teams=shown.teams,  # type: ignore[arg-type]
        )
        if not plan.shadowed:
            self._write(row)
        elif len(self._shadows) >= MOST_SHADOWS:
            self._metrics.shadowed("dropped")
            self._write(row)
        else:
            task = asyncio.create_task(self._in_shadow(row, ids, shadow))
            self._shadows[task] = row
            task.add_done_callback(lambda done: self._shadows.pop(done, None))

    def feedback(self, event: Feedback) -> str:
        """Write down what a user did; durable when this returns. Returns the event's id."""
        assert self._feedback is not None
        event_id = event.event_id or str(uuid.uuid4())
        self._feedback.append(
            FeedbackEvent(
                event_id=event_id,
                exposure_id=event.exposure_id,
                at=time.time(),
                kind=event.kind,  # type: ignore[arg-type]
                position=event.position,
                seconds=event.seconds,
            )
        )
        return event_id

    def close(self) -> None:
        """Bring all rows to storage, also of answers that the challenger has yet to score."""
        for row in list(self._shadows.values()):
            self._write(row)
        for log in (self._exposures, self._feedback):
            if log is not None:
                log.flush()

    async def _in_shadow(
        self, row: Exposure, ids: Sequence[str], shadow: Callable[[], Awaitable[ScoredRequest]]
    ) -> None:
        try:
            scored = await asyncio.wait_for(shadow(), self._seconds)
        except asyncio.CancelledError:
            self._write(row)
            raise
        except Exception:  # the answer was given; that the challenger failed is counted
            self._metrics.shadowed("failed")
            self._write(row)
            return
        self._metrics.shadowed("scored")
        self._write(row.model_copy(update={"shadow": [ids[place] for place in order_of(scored.scores)]}))

    def _write(self, row: Exposure) -> None:
        if self._exposures is not None:
            self._exposures.append(row)

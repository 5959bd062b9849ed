"""Divide traffic between the champion and a challenger, and record exposures and feedback."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from actors.serving.experiment.events import EventLog, local_journals
from actors.serving.experiment.signing import Secret, load_secret
from actors.serving.http_api.rankings import order_of
from actors.serving.http_api.schemas import Feedback
from actors.serving.scoring.loaded_models import Role
from actors.serving.scoring.reranker import ScoredRequest
from actors.serving.service_metrics import IngressMetrics
from actors.serving.serving_settings import ServingSettings
from ranking.ab_test.arm_assignment import Arm, bucket_of, team_draft
from ranking.ab_test.exposure_records import EXPOSURES, FEEDBACK, SERVING, Exposure, FeedbackEvent
from ranking.storage.folder import Folder

_log = logging.getLogger("ray.serve")

MAX_SHADOW_REQUESTS = 4
"""Maximum number of shadow requests (scored by the challenger after the response) in progress per replica.

Further ones are dropped, which limits the backlog of low-priority work.
"""


class UnknownExposureError(Exception):
    """Feedback names an exposure id that this service has not signed."""


@dataclass(frozen=True)
class TrafficPlan:
    """The models that score a request.

    Attributes:
        arm: Arm of the experiment that the key belongs to.
        roles: Models that score the request before the response is sent.
        key: The caller's experiment key. None if the request is not part of an experiment.
        shadowed: Whether the challenger scores the request after the response is sent.
    """

    arm: Arm
    roles: tuple[Role, ...]
    key: str | None = None
    shadowed: bool = False


@dataclass(frozen=True)
class ShownRanking:
    """The ranking of a response.

    Attributes:
        order: Indices of the returned documents, best first.
        scores: The returned score of each document, in request order.
        version: Version of the model, "champion+challenger" for an interleaved ranking.
        arm: Arm of the experiment, if any.
        exposure_id: Id of the exposure (the record that this ranking was shown), if any.
        teams: For an interleaved ranking, the model that contributed each document, in the order of `order`.
    """

    order: list[int]
    scores: list[float]
    version: str
    arm: Arm | None = None
    exposure_id: str | None = None
    teams: list[str] | None = None


class Traffic:
    """Assigns experiment keys to arms, builds rankings and records exposures and feedback. One instance per replica."""

    def __init__(self, settings: ServingSettings, storage: Folder, metrics: IngressMetrics) -> None:
        self._settings, self._metrics = settings.traffic, metrics
        self._record_settings = settings.record
        self._shadows: dict[asyncio.Task[None], Exposure] = {}
        self._timeout_seconds = settings.limits.timeout_seconds
        self._exposures: EventLog[Exposure] | None = None
        self._feedback: EventLog[FeedbackEvent] | None = None
        self._secret = Secret(secrets.token_hex(32))
        if settings.record.exposures:
            folder, journals = storage / SERVING, local_journals(storage)
            self._secret = load_secret(folder)
            limits = (settings.record.max_rows_per_file, settings.record.flush_seconds, metrics.record_skipped_rows)
            self._exposures = EventLog(Exposure, folder / EXPOSURES, journals / EXPOSURES, *limits)
            self._feedback = EventLog(FeedbackEvent, folder / FEEDBACK, journals / FEEDBACK, *limits)

    def plan(self, key: str | None, challenger_is_champion: bool = False) -> TrafficPlan:
        """Choose the models that score a request.

        Args:
            key: The caller's experiment key, if any.
            challenger_is_champion: Whether the challenger was promoted. The experiment is then over: the champion gets
                all traffic and nothing is recorded.
        """
        settings = self._settings
        if settings.challenger is not None and challenger_is_champion:
            return TrafficPlan("champion", ("champion",))
        if key is None or settings.challenger is None:
            return TrafficPlan("champion", ("champion",), key)
        in_share = bucket_of(key, settings.experiment) < settings.share
        if settings.mode == "shadow":
            return TrafficPlan("champion", ("champion",), key, shadowed=in_share)
        if not in_share:
            return TrafficPlan("champion", ("champion",), key)
        if settings.mode == "interleave":
            return TrafficPlan("interleaved", ("champion", "challenger"), key)
        return TrafficPlan("challenger", ("challenger",), key)

    def show(
        self,
        plan: TrafficPlan,
        scored: Sequence[ScoredRequest],
        top_n: int | None,
        min_score: float | None = None,
    ) -> ShownRanking:
        """Build the ranking of a response.

        Requests with a key get an exposure id if an experiment is running or exposures are recorded.

        Args:
            plan: Plan of the request.
            scored: Scores of each model in `plan.roles`.
            top_n: Number of documents to return. None for all.
            min_score: Minimum probability of the returned documents. None for all documents. In an interleaved
                ranking, it is the probability by the model that contributed the document.
        """
        exposed = plan.key is not None and (self._settings.challenger is not None or self._exposures is not None)
        exposure_id = self._secret.sign(str(uuid.uuid4())) if exposed else None
        arm = plan.arm if exposed else None
        first = scored[0]
        if len(scored) == 1:
            return ShownRanking(first.order(min_score, top_n), first.scores, first.version, arm, exposure_id)
        order, teams = team_draft(order_of(first.scores), order_of(scored[1].scores), exposure_id or "")
        by_team = {"champion": first, "challenger": scored[1]}
        drafted = list(zip(order, teams, strict=True))
        scores = list(first.scores)
        for i, team in drafted:
            scores[i] = by_team[team].scores[i]
        kept = [(i, team) for i, team in drafted if by_team[team].is_kept(i, min_score)][:top_n]
        version = f"{first.version}+{scored[1].version}"
        return ShownRanking([i for i, _ in kept], scores, version, arm, exposure_id, [team for _, team in kept])

    def record(
        self,
        plan: TrafficPlan,
        shown: ShownRanking,
        query: str,
        ids: Sequence[str],
        shadow: Callable[[], Awaitable[ScoredRequest]],
    ) -> None:
        """Record a ranking that has an exposure id.

        If the plan is `shadowed`, the challenger first scores the request in the background.

        Args:
            plan: Plan of the request.
            shown: Ranking of the response.
            query: Text of the query.
            ids: Id of each document.
            shadow: Function that scores the request with the challenger.
        """
        if plan.key is None or shown.exposure_id is None:
            return
        settings = self._settings
        self._metrics.record_exposure(settings.experiment, plan.arm, shown.version)
        row = Exposure(
            exposure_id=shown.exposure_id,
            at=time.time(),
            experiment=settings.experiment,
            mode=settings.mode,
            arm=plan.arm,
            version=shown.version,
            key=self._secret.hash_of(plan.key),
            query=query if self._record_settings.queries == "text" else self._secret.hash_of(query),
            shown=[ids[i] for i in shown.order],
            share=settings.share if settings.challenger is not None and settings.mode != "shadow" else None,
            teams=shown.teams,
        )
        if not plan.shadowed:
            self._write(row)
        elif len(self._shadows) >= MAX_SHADOW_REQUESTS:
            self._metrics.record_shadow("dropped")
            self._write(row)
        else:
            task = asyncio.create_task(self._score_shadow(row, ids, shadow))
            self._shadows[task] = row
            task.add_done_callback(lambda done: self._shadows.pop(done, None))

    def feedback(self, event: Feedback) -> str:
        """Record a feedback event and return its id. The event is durable when this returns.

        Raises:
            UnknownExposureError: The event's exposure id is not one of this service.
            OSError: The journal cannot be written, for example because the disk is full.
        """
        assert self._feedback is not None
        if not self._secret.is_signed(event.exposure_id):
            raise UnknownExposureError
        event_id = event.event_id or str(uuid.uuid4())
        self._feedback.append(
            FeedbackEvent(
                event_id=event_id,
                exposure_id=event.exposure_id,
                at=time.time(),
                kind=event.kind,
                position=event.position,
                seconds=event.seconds,
            )
        )
        return event_id

    def close(self) -> None:
        """Write all rows to storage, including those that still wait for the challenger's scores."""
        for row in list(self._shadows.values()):
            self._write(row)
        for log in (self._exposures, self._feedback):
            if log is not None:
                log.flush()

    async def _score_shadow(
        self, row: Exposure, ids: Sequence[str], shadow: Callable[[], Awaitable[ScoredRequest]]
    ) -> None:
        """Record an exposure with the challenger's order, or without it if the challenger fails or is too slow."""
        try:
            scored = await asyncio.wait_for(shadow(), self._timeout_seconds)
        except asyncio.CancelledError:
            self._write(row)
            raise
        except Exception:  # the response is already sent, so a failure is only counted
            self._metrics.record_shadow("failed")
            self._write(row)
            return
        self._metrics.record_shadow("scored")
        self._write(row.model_copy(update={"shadow": [ids[i] for i in order_of(scored.scores)]}))

    def _write(self, row: Exposure) -> None:
        """Record an exposure. A failure is counted and logged, because the ranking can be shown without it."""
        if self._exposures is None:
            return
        try:
            self._exposures.append(row)
        except OSError as error:
            self._metrics.record_lost_exposure()
            _log.error("cannot record an exposure: %s", error)

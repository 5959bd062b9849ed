"""Find the clicks of the labelled queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from actors.serving.experiment.signing import load_secret
from ranking.ab_test.exposure_records import SERVING
from ranking.clicks.click_mixing import ListClicks, list_clicks
from ranking.errors import InputError
from ranking.records import QueryClicks
from ranking.selection.query_text import normalise
from ranking.storage.folder import Folder
from ray_jobs.common.run import Run


def clicks_of_labels(run: Run, labels: Folder, ids: Sequence[str]) -> dict[str, ListClicks] | None:
    """Return the clicks of the labelled queries.

    Queries are compared by their normalised text, or by the hash of their text or normalised text.

    Args:
        run: The run.
        labels: Folder of the labels.
        ids: Ids of the queries to train and validate on.

    Returns:
        {query_id: clicks} of the queries that have exposures; None without `training.clicks`.

    Raises:
        InputError: There are no estimates from clicks, or none of these queries has an exposure.
    """
    settings = run.settings.training.clicks
    if settings is None:
        return None
    query_ids = _recorded_names(run, labels, ids)
    found: dict[str, QueryClicks] = {}
    for row in run.plan.clicks_for_training.folder.read_rows(QueryClicks):
        for query_id in query_ids.get(row.query, ()):
            found[query_id] = max(row, found.get(query_id, row), key=lambda one: one.exposures)
    if not found:
        raise InputError(
            f"setting 'training.clicks': none of the {len(ids):,} labelled queries is among the recorded queries; "
            "label queries of the served traffic, and if RRADISTILL_SERVING_SECRET is set for the service, set it here"
        )
    clicks = {query_id: list_clicks(row, settings.weight, settings.k) for query_id, row in found.items()}
    _report(run, clicks.values(), len(ids))
    return clicks


def _recorded_names(run: Run, labels: Folder, ids: Sequence[str]) -> dict[str, list[str]]:
    """Return the ids of the labelled queries by each text or hash under which the service may have recorded them."""
    secret, chosen = load_secret(run.storage / SERVING), set(ids)
    names: dict[str, list[str]] = {}
    for query_id, text in zip(labels.read_column("query_id"), labels.read_column("query"), strict=True):
        if query_id in chosen:
            normal = normalise(text)
            for name in {normal or text, secret.hash_of(text), secret.hash_of(normal)}:
                names.setdefault(name, []).append(query_id)
    return names


def _report(run: Run, clicks: Iterable[ListClicks], queries: int) -> None:
    """Print how many labelled queries have clicks, and their mean weight."""
    weights = [one.weight for one in clicks if len(one.relevance) > 1]
    mean = f" with a mean weight of {sum(weights) / len(weights):.3f}" if weights else ""
    run.progress.stage("clicks", f"mixed into the targets of {len(weights):,} of {queries:,} labelled queries{mean}")

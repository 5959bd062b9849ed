"""Helpers for tests of the event log. The subprocess that these tests start imports them too."""

from actors.serving.experiment.events import EventLog
from ranking.ab_test.exposure_records import FeedbackEvent
from ranking.storage.folder import Folder


def event(number):
    """Return a feedback event whose id is the number."""
    return FeedbackEvent(event_id=str(number), exposure_id="e", at=0.0, kind="click", position=1)


def open_log(folder, max_rows_per_file=10, flush_seconds=1000.0, storage=None, **options):
    """Open an event log with its journals under a folder, and its storage under the same or another folder."""
    storage, journals = Folder((storage or folder) / "storage"), folder / "journals"
    return EventLog(FeedbackEvent, storage, journals, max_rows_per_file, flush_seconds, **options)

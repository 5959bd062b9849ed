"""Helpers for tests of the event log. The subprocess that these tests start imports them too."""

from actors.serving.experiment.events import EventLog
from ranking.ab_test.exposure_records import FeedbackEvent
from ranking.storage.folder import Folder


def event(number):
    """Return a feedback event whose id is the number."""
    return FeedbackEvent(event_id=str(number), exposure_id="e", at=0.0, kind="click", position=1)


def open_log(folder, max_rows_per_file=10, flush_seconds=1000.0, **options):
    """Open an event log with its storage and its journals under a folder."""
    storage, journals = Folder(folder / "storage"), folder / "journals"
    return EventLog(FeedbackEvent, storage, journals, max_rows_per_file, flush_seconds, **options)

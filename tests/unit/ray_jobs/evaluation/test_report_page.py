"""The audit's picture in the report is drawn from the numbers, not copied from storage."""

from types import SimpleNamespace

from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings
from ranking.audit.audit_report import audit
from ranking.storage.folder import Folder
from ray_jobs.audit import AUDIT, PICTURE
from ray_jobs.evaluation.report_page import audit_of


def test_a_changed_picture_on_storage_does_not_reach_the_report(tmp_path):
    folder = Folder(tmp_path / "audit")
    folder.write_text(AUDIT, audit([], shuffled=True, seed=1).to_json())
    folder.write_text(PICTURE, "<svg><script>window.injected = 1</script></svg>")
    stage = SimpleNamespace(folder=folder, manifest="finished")
    settings = SimpleNamespace(teacher=RecordedTeacherSettings(kind="recorded", path="folder/answers.jsonl"))
    run = SimpleNamespace(folder=Folder(tmp_path), plan=SimpleNamespace(audit=stage), settings=settings)
    text, picture = audit_of(run)
    assert text.startswith("answers")
    assert "answers.jsonl" in picture
    assert "script" not in picture

"""Teachers: lists of candidates in, labels or rejections out.

The table maps each kind of the run file to its class.
"""

from __future__ import annotations

from actors.settings import ComputeSettings, PointwiseTeacherSettings, RecordedTeacherSettings
from actors.teachers.pointwise import PointwiseTeacher
from actors.teachers.recorded import RecordedTeacher
from ranking.storage import Folder

Teacher = PointwiseTeacher | RecordedTeacher


def make_teacher(
    settings: PointwiseTeacherSettings | RecordedTeacherSettings, compute: ComputeSettings, fingerprint: str, memory: Folder
) -> Teacher:
    """Make the teacher that the settings name.

    fingerprint: of what makes the answers, stored in every label. memory: folder for what the teacher need
    not compute twice. Raises InputError where the teacher's own input is missing or malformed.
    """
    if isinstance(settings, PointwiseTeacherSettings):
        return PointwiseTeacher(settings, compute, fingerprint, memory)
    return RecordedTeacher(settings, fingerprint)

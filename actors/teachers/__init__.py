"""Teachers: lists of candidates in, labels or rejections out. One class a kind of the run file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from actors.settings import ComputeSettings, ListwiseTeacherSettings, PointwiseTeacherSettings, TeacherSettings
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

    from actors.vllm.engine_actor import EngineActor


class Teacher(Protocol):
    """What every teacher does."""

    @property
    def actor(self) -> tuple[type[EngineActor], tuple[Any, ...]] | None:
        """The class that runs its engine, and what that is made with; None where there is no engine."""

    def label(self, lists: Dataset) -> Dataset:
        """Label lists. lists: rows of PickedList. Returns rows of Outcome, one for each list."""


def make_teacher(settings: TeacherSettings, compute: ComputeSettings, fingerprint: str, memory: Folder) -> Teacher:
    """Make the teacher that the settings name.

    fingerprint: of what makes the answers, stored in every label. memory: folder for what the teacher need
    not compute twice. Raises InputError where the teacher's own input is missing or malformed.
    """
    # imported by kind: a recorded teacher needs no engine
    if isinstance(settings, ListwiseTeacherSettings):
        from actors.teachers.listwise import ListwiseTeacher

        return ListwiseTeacher(settings, compute, fingerprint, memory)
    if isinstance(settings, PointwiseTeacherSettings):
        from actors.teachers.pointwise import PointwiseTeacher

        return PointwiseTeacher(settings, compute, fingerprint, memory)
    from actors.teachers.recorded_teacher import RecordedTeacher

    return RecordedTeacher(settings, fingerprint)

"""Teachers label candidate lists. Each `teacher.kind` of the run file has one class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from actors.settings import ComputeSettings, ListwiseTeacherSettings, PointwiseTeacherSettings, TeacherSettings
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

    from actors.vllm.engine_actor import EngineActor


class Teacher(Protocol):
    """Interface of all teachers."""

    @property
    def actor(self) -> tuple[type[EngineActor], tuple[Any, ...]] | None:
        """Actor class that runs the engine, and its constructor arguments; None without an engine."""

    def label(self, lists: Dataset) -> Dataset:
        """Label lists.

        Args:
            lists: Rows of PreRankedList.

        Returns:
            Rows of Outcome[Label], one per list.
        """


def make_teacher(settings: TeacherSettings, compute: ComputeSettings, fingerprint: str, cache: Folder) -> Teacher:
    """Make the teacher that the settings describe.

    Args:
        settings: Teacher settings.
        compute: Compute settings.
        fingerprint: Hash of all inputs that determine the answers. It is stored in every label.
        cache: Folder of the teacher's response or pooling cache.

    Raises:
        InputError: An input of the teacher, such as its model or file, is missing or malformed.
    """
    # imported by kind: a recorded teacher needs no engine
    if isinstance(settings, ListwiseTeacherSettings):
        from actors.teachers.listwise import ListwiseTeacher

        return ListwiseTeacher(settings, compute, fingerprint, cache)
    if isinstance(settings, PointwiseTeacherSettings):
        from actors.teachers.pointwise import PointwiseTeacher

        return PointwiseTeacher(settings, compute, fingerprint, cache)
    from actors.teachers.recorded_teacher import RecordedTeacher

    return RecordedTeacher(settings, fingerprint)

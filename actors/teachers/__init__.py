"""Teachers, which label candidate lists. Each value of `teacher.kind` in the run file has its own class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from actors.compute_settings import ComputeSettings
from actors.teachers.comparing.comparing_settings import ComparingTeacherSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.teachers.teacher_settings import TeacherSettings
from ranking.hosted_settings import is_hosted
from ranking.storage.folder import Folder

if TYPE_CHECKING:
    from ray.data import Dataset

    from actors.vllm.engine_actor import EngineActor


class Teacher(Protocol):
    """Interface of all teachers."""

    @property
    def actor(self) -> tuple[type[EngineActor], tuple[Any, ...]] | None:
        """Actor class that runs the engine, and its constructor arguments; None for a teacher without an engine."""

    def label(self, lists: Dataset) -> Dataset:
        """Have the teacher label each pre-ranked candidate list.

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
        cache: Folder of the teacher's cache of responses, embeddings or scores.

    Raises:
        InputError: An input of the teacher, such as its model or file, is missing or malformed.
    """
    # import only the class in use: a recorded teacher does not need vLLM
    if isinstance(settings, ListwiseTeacherSettings) and is_hosted(settings):
        from actors.teachers.listwise.hosted_listwise import HostedListwiseTeacher

        return HostedListwiseTeacher(settings, compute, fingerprint, cache)
    if isinstance(settings, ListwiseTeacherSettings):
        from actors.teachers.listwise.listwise_teacher import ListwiseTeacher

        return ListwiseTeacher(settings, compute, fingerprint, cache)
    if isinstance(settings, PointwiseTeacherSettings):
        from actors.teachers.pointwise.pointwise_teacher import PointwiseTeacher

        return PointwiseTeacher(settings, compute, fingerprint, cache)
    if isinstance(settings, ComparingTeacherSettings):
        from actors.teachers.comparing.comparing_teacher import ComparingTeacher

        return ComparingTeacher(settings, compute, fingerprint, cache)
    from actors.teachers.recorded.recorded_teacher import RecordedTeacher

    return RecordedTeacher(settings, fingerprint)

"""Settings of a teacher of any kind."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from actors.teachers.comparing.comparing_settings import PairwiseTeacherSettings, SetwiseTeacherSettings
from actors.teachers.listwise.listwise_settings import ListwiseTeacherSettings
from actors.teachers.pointwise.pointwise_presets import with_kind_of_preset
from actors.teachers.pointwise.pointwise_settings import PointwiseTeacherSettings
from actors.teachers.recorded.recorded_settings import RecordedTeacherSettings

_AnyTeacherSettings = Annotated[
    ListwiseTeacherSettings
    | PointwiseTeacherSettings
    | PairwiseTeacherSettings
    | SetwiseTeacherSettings
    | RecordedTeacherSettings,
    Field(discriminator="kind"),
]

TeacherSettings = Annotated[_AnyTeacherSettings, BeforeValidator(with_kind_of_preset)]

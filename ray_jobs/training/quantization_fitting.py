"""Quantize a student to int8 on validation queries. Called by `ray_jobs.train`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ranking.quantization_result import Quantization
from ranking.storage.folder import Folder
from ray_jobs.common.run import Run
from ray_jobs.training.validation_scores import ValidationScores
from students import student_config
from students.student_settings import StudentSettings

if TYPE_CHECKING:
    from students.quantization_gate import JudgedList


def quantize_student(run: Run, student: StudentSettings, validation: ValidationScores) -> None:
    """Quantize a student if the settings ask for it, and report whether its int8 model was accepted.

    A student whose int8 model is rejected keeps its other precisions. The reason is printed and written to its config.
    """
    if run.settings.training.quantize == "none":
        return
    result = _export(validation.model, judged_lists(validation))
    if isinstance(result, str):
        student_config.write_quantization_note(validation.model, result)
        run.progress.stage("quantization", f"{student.name} is not quantized: {result}")
        return
    outcome = "int8 is accepted" if result.accepted else "int8 is rejected"
    run.progress.stage("quantization", f"{student.name}: {outcome}: {result.numbers}")


def quantization_of(model: Folder) -> Quantization | None:
    """Return the result of quantizing a saved student. None if it was not quantized."""
    return student_config.quantization_of(student_config.read(model), model.uri)


def judged_lists(validation: ValidationScores) -> list[JudgedList]:
    """Return the documents of the validation queries that the teacher was shown, with their targets."""
    from students.quantization_gate import JudgedList

    lists = []
    labels = validation.trained_labels  # with targets: judgements, only of judged queries
    for row in validation.shown():
        if row.query_id not in labels:
            continue
        target = {c.doc_id: c.target for c in labels[row.query_id].candidates}
        documents = [(c.title, c.text) for c in row.candidates]
        lists.append(JudgedList(row.query_id, row.text, documents, [target[c.doc_id] for c in row.candidates]))
    return lists


def _export(model: Folder, lists: list[JudgedList]) -> Quantization | str:
    """Quantize a model folder on a worker. Returns the result or the reason why the student cannot be quantized."""
    import ray

    from actors.training.quantized_export import export_quantized

    result: Quantization | str = ray.get(ray.remote(export_quantized).remote(model, lists))
    return result

"""Export of a quantized student to its model folder, and folders that stay unchanged."""

import pytest

from actors.training.quantized_export import export_quantized
from ranking.quantization_result import QuantizationError
from ranking.storage.folder import Folder
from students import onnx_file, quantization_gate
from tests.testing.quantization_results import quantization


@pytest.fixture
def model(tmp_path):
    folder = Folder(tmp_path / "model")
    folder.write_text("config", "before")
    return folder


def test_new_files_replace_the_folder(model, monkeypatch):
    def quantize(path, lists):
        (path / onnx_file.INT8_NAME).write_text("int8")
        (path / "config").write_text(f"{len(lists)} lists")
        return quantization()

    monkeypatch.setattr(quantization_gate, "quantize", quantize)
    assert export_quantized(model, ["a", "b"]) == quantization()
    assert (model.read_text("config"), model.read_text(onnx_file.INT8_NAME)) == ("2 lists", "int8")


def test_student_that_cannot_be_quantized_leaves_the_folder_unchanged(model, monkeypatch):
    def failing(path, lists):
        (path / "config").write_text("damaged")
        raise QuantizationError("the reason")

    monkeypatch.setattr(quantization_gate, "quantize", failing)
    assert export_quantized(model, []) == "the reason"
    assert (model.read_text("config"), model.names()) == ("before", ["config"])
